#include "server/domain/target.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace tokenbroker {
namespace {

constexpr std::array<std::pair<TargetKind, std::string_view>, 4> kKinds = {{
    {TargetKind::kUser, "user"},
    {TargetKind::kProject, "project"},
    {TargetKind::kGroup, "group"},
    {TargetKind::kServiceAccount, "service_account"},
}};

}  // namespace

std::string_view NameOf(TargetKind kind) {
  return std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& each) { return each.first == kind; })->second;
}

std::optional<TargetKind> ParseTargetKind(std::string_view name) {
  for (const auto& [kind, text] : kKinds) {
    if (text == name) return kind;
  }
  return std::nullopt;
}

std::optional<std::int64_t> Target::id() const {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(ref.data(), ref.data() + ref.size(), value);
  // from_chars takes a sign, GitLab does not: "-0" is no id.
  const bool is_id = error == std::errc() && end == ref.data() + ref.size() && ref.front() != '-';
  if (!is_id) return std::nullopt;
  return value;
}

std::string ToText(const Target& target) { return std::string(NameOf(target.kind)) + ':' + target.ref; }

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& each : lower) {
    if (each >= 'A' && each <= 'Z') each = static_cast<char>(each - 'A' + 'a');
  }
  return lower;
}

std::string ToText(const ResolvedTarget& target) { return std::string(NameOf(target.kind)) + ':' + target.path; }

}  // namespace tokenbroker
