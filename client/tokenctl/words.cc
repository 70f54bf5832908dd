#include "client/tokenctl/words.h"

#include <charconv>
#include <utility>

namespace tokenbroker::tokenctl {
namespace {

// GitLab's roles, in the words of its documentation.
constexpr std::pair<std::string_view, std::int32_t> kLevels[] = {
    {"guest", 10},     {"planner", 15},    {"reporter", 20}, {"security-manager", 25},
    {"developer", 30}, {"maintainer", 40}, {"owner", 50},
};

std::string WithoutPrefix(const std::string& name, std::string_view prefix) {
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

}  // namespace

std::string StateWord(const v1::Token& token) {
  std::string word = WithoutPrefix(v1::TokenState_Name(token.state()), "TOKEN_STATE_");
  // A newer broker may have states that this build has no name for.
  if (word.empty()) word = std::to_string(static_cast<int>(token.state()));
  if (token.revoke_reason() == v1::REVOKE_REASON_UNSPECIFIED) return word;
  std::string reason = WithoutPrefix(v1::RevokeReason_Name(token.revoke_reason()), "REVOKE_REASON_");
  if (reason.empty()) reason = std::to_string(static_cast<int>(token.revoke_reason()));
  return word + " (" + reason + ")";
}

std::string TargetWord(const v1::Target& target) {
  const std::string instance = target.instance().empty() ? "" : target.instance() + "/";
  switch (target.resource_case()) {
    case v1::Target::kUser:
      return instance + "user:" + target.user();
    case v1::Target::kProject:
      return instance + "project:" + target.project();
    case v1::Target::kGroup:
      return instance + "group:" + target.group();
    case v1::Target::kServiceAccount:
      return instance + "service_account:" + target.service_account();
    case v1::Target::RESOURCE_NOT_SET:
      break;
  }
  return "-";
}

std::string AccessLevelWord(std::int32_t level) {
  for (const auto& [word, number] : kLevels) {
    if (number == level) return std::to_string(level) + " (" + std::string(word) + ")";
  }
  return std::to_string(level);
}

std::optional<std::int32_t> ParseAccessLevel(std::string_view text) {
  for (const auto& [word, number] : kLevels) {
    if (word == text) return number;
  }
  std::int32_t level = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), level);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return level;
}

}  // namespace tokenbroker::tokenctl
