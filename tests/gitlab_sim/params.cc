#include "tests/gitlab_sim/params.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "nlohmann/json.hpp"
#include "tests/gitlab_sim/calendar.h"

namespace tokenbroker::gitlab_sim {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const int lower = std::tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool SameText(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string ScalarText(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

Param FromJson(const nlohmann::json& value) {
  Param out;
  if (value.is_null()) {
    out.type = Param::Type::kNull;
  } else if (value.is_array()) {
    out.type = Param::Type::kList;
    for (const auto& item : value) out.items.push_back(ScalarText(item));
  } else if (value.is_object()) {
    out.type = Param::Type::kOther;
  } else {
    out.type = value.is_boolean() ? Param::Type::kBool : value.is_number() ? Param::Type::kNumber : Param::Type::kText;
    out.text = ScalarText(value);
  }
  return out;
}

}  // namespace

std::string PercentDecode(const std::string& text, bool plus_is_blank) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexValue(text[i + 1]) >= 0 && HexValue(text[i + 2]) >= 0) {
      out += static_cast<char>(HexValue(text[i + 1]) * 16 + HexValue(text[i + 2]));
      i += 2;
    } else {
      out += plus_is_blank && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::string PercentEncode(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 ||
        std::string_view("-._~").find(c) != std::string_view::npos) {
      out += c;
    } else {
      std::array<char, 4> hex{};
      std::snprintf(hex.data(), hex.size(), "%%%02X", static_cast<unsigned>(c) & 0xFFU);
      out += hex.data();
    }
  }
  return out;
}

std::optional<std::string> FindHeader(const Headers& headers, const std::string& name) {
  for (const auto& [key, value] : headers) {
    if (SameText(key, name)) return value;
  }
  return std::nullopt;
}

std::string PathOf(const std::string& target) { return target.substr(0, target.find('?')); }

bool Params::Read(const HttpRequest& request) {
  const size_t query = request.target.find('?');
  if (query != std::string::npos) ReadForm(request.target.substr(query + 1));
  if (request.body.empty()) return true;
  const std::string type = FindHeader(request.headers, "Content-Type").value_or("");
  if (type.find("json") != std::string::npos) return ReadJson(request.body);
  ReadForm(request.body);
  return true;
}

bool Params::ReadJson(const std::string& body) {
  const nlohmann::json parsed = nlohmann::json::parse(body, nullptr, false);
  if (!parsed.is_object()) return false;
  for (const auto& [name, value] : parsed.items()) all_[name] = FromJson(value);
  return true;
}

void Params::ReadForm(const std::string& text) {
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('&', at), text.size());
    const std::string pair = text.substr(at, end - at);
    at = end + 1;
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    const std::string value = equals == std::string::npos ? "" : pair.substr(equals + 1);
    Add(PercentDecode(pair.substr(0, equals), true), PercentDecode(value, true));
  }
}

void Params::Add(const std::string& name, const std::string& text) {
  if (name.size() > 2 && name.compare(name.size() - 2, 2, "[]") == 0) {
    Param& list = all_[name.substr(0, name.size() - 2)];
    list.type = Param::Type::kList;
    list.items.push_back(text);
  } else {
    Set(name, text);
  }
}

void Params::Set(const std::string& name, const std::string& text) {
  all_[name] = Param{.type = Param::Type::kText, .text = text, .items = {}};
}

const Param* Params::Find(const std::string& name) const {
  const auto found = all_.find(name);
  return found == all_.end() ? nullptr : &found->second;
}

const Param* ParamChecks::Given(const std::string& name) const {
  const Param* param = params_.Find(name);
  if (param == nullptr || param->type == Param::Type::kNull) return nullptr;
  return param->type == Param::Type::kText && param->text.empty() ? nullptr : param;
}

void ParamChecks::Fail(const std::string& problem) {
  if (!problems_.empty()) problems_ += ", ";
  problems_ += problem;
}

std::string ParamChecks::RequiredText(const std::string& name) {
  if (params_.Find(name) == nullptr) {
    Fail(name + " is missing");
    return "";
  }
  return Text(name).value_or("");
}

std::optional<std::string> ParamChecks::Text(const std::string& name) {
  const Param* param = Given(name);
  if (param == nullptr) return std::nullopt;
  if (param->type == Param::Type::kList || param->type == Param::Type::kOther) {
    Fail(name + " is invalid");
    return std::nullopt;
  }
  return param->text;
}

std::optional<int64_t> ParamChecks::Integer(const std::string& name) {
  const Param* param = Given(name);
  if (param == nullptr) return std::nullopt;
  char* end = nullptr;
  const int64_t value = std::strtoll(param->text.c_str(), &end, 10);
  if (param->text.empty() || *end != '\0') {
    Fail(name + " is invalid");
    return std::nullopt;
  }
  return value;
}

std::optional<bool> ParamChecks::Boolean(const std::string& name) {
  const Param* param = Given(name);
  if (param == nullptr) return std::nullopt;
  for (const char* yes : {"true", "t", "on", "1"}) {
    if (SameText(param->text, yes)) return true;
  }
  for (const char* no : {"false", "f", "off", "0"}) {
    if (SameText(param->text, no)) return false;
  }
  Fail(name + " is invalid");
  return std::nullopt;
}

std::optional<std::chrono::sys_days> ParamChecks::Date(const std::string& name) {
  const Param* param = Given(name);
  if (param == nullptr) return std::nullopt;
  const auto date = ParseDate(param->text);
  if (!date) Fail(name + " is invalid");
  return date;
}

std::optional<TimePoint> ParamChecks::Time(const std::string& name) {
  const Param* param = Given(name);
  if (param == nullptr) return std::nullopt;
  const auto time = ParseTimestamp(param->text);
  if (!time) Fail(name + " is invalid");
  return time;
}

std::optional<std::string> ParamChecks::OneOf(const std::string& name, const std::vector<std::string>& allowed) {
  auto text = Text(name);
  if (text && std::find(allowed.begin(), allowed.end(), *text) == allowed.end()) {
    Fail(name + " does not have a valid value");
    return std::nullopt;
  }
  return text;
}

std::vector<std::string> ParamChecks::RequiredList(const std::string& name, const std::vector<std::string>& allowed,
                                                   bool commas) {
  const Param* param = params_.Find(name);
  std::vector<std::string> items;
  if (param == nullptr) {
    Fail(name + " is missing");
    return items;
  }
  if (param->type == Param::Type::kList) {
    items = param->items;
  } else if (commas && param->type == Param::Type::kText) {
    for (size_t at = 0; at < param->text.size();) {
      const size_t end = std::min(param->text.find(',', at), param->text.size());
      std::string item = param->text.substr(at, end - at);
      item.erase(0, std::min(item.find_first_not_of(' '), item.size()));
      items.push_back(item);
      at = end + 1;
    }
  } else if (param->type != Param::Type::kNull) {
    Fail(name + " is invalid");
    return items;
  }
  for (const std::string& item : items) {
    if (std::find(allowed.begin(), allowed.end(), item) != allowed.end()) continue;
    Fail(name + " does not have a valid value");
    break;
  }
  return items;
}

}  // namespace tokenbroker::gitlab_sim
