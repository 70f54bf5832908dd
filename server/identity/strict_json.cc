#include "server/identity/strict_json.h"

namespace tokenbroker {
namespace {

constexpr int kDeepest = 16;

// Looked at before it is parsed, since the parser descends by recursion and knows only a bound of thousands.
bool IsShallow(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char each = text[at];
    if (quoted) {
      if (each == '\\') ++at;
      if (each == '"') quoted = false;
    } else if (each == '"') {
      quoted = true;
    } else if (each == '{' || each == '[') {
      if (++depth > kDeepest) return false;
    } else if (each == '}' || each == ']') {
      --depth;
    }
  }
  return true;
}

}  // namespace

Json ParseStrictJson(std::string_view text) {
  if (!IsShallow(text)) return nullptr;
  Json json(json_loadb(text.data(), text.size(), JSON_REJECT_DUPLICATES, nullptr));
  if (json != nullptr && !json_is_object(json.get())) return nullptr;
  return json;
}

std::optional<std::string> TextOf(const json_t* object, const char* name) {
  const json_t* const value = json_object_get(object, name);
  if (!json_is_string(value)) return std::nullopt;
  return TextOf(value);
}

std::string TextOf(const json_t* text) { return {json_string_value(text), json_string_length(text)}; }

}  // namespace tokenbroker
