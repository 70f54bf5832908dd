// Writes JSON as GitLab does: no blanks, key order kept, `<`, `>` and `&` escaped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tokenbroker::gitlab_sim {

std::string JsonQuote(const std::string& text);

// Joins finished values: [a,b,c].
std::string JsonArray(const std::vector<std::string>& values);
std::string JsonTextArray(const std::vector<std::string>& texts);

class JsonObject {
 public:
  JsonObject& Raw(const std::string& key, const std::string& json);
  JsonObject& Text(const std::string& key, const std::string& value) { return Raw(key, JsonQuote(value)); }
  JsonObject& Number(const std::string& key, int64_t value) { return Raw(key, std::to_string(value)); }
  JsonObject& Bool(const std::string& key, bool value) { return Raw(key, value ? "true" : "false"); }
  JsonObject& Null(const std::string& key) { return Raw(key, "null"); }
  JsonObject& TextOrNull(const std::string& key, const std::optional<std::string>& value) {
    return value ? Text(key, *value) : Null(key);
  }
  std::string Finish() const { return text_ + "}"; }

 private:
  std::string text_ = "{";
};

}  // namespace tokenbroker::gitlab_sim
