#include "server/gitlab/bot_name.h"

#include <charconv>

namespace tokenbroker {
namespace {

// The id in "<kind><id>_bot...".
std::optional<std::int64_t> IdIn(std::string_view username, std::string_view kind) {
  if (!username.starts_with(kind)) return std::nullopt;
  const std::string_view rest = username.substr(kind.size());
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), id);
  if (error != std::errc() || id <= 0) return std::nullopt;
  const auto digits = static_cast<std::size_t>(end - rest.data());
  return rest.substr(digits).starts_with("_bot") ? std::optional(id) : std::nullopt;
}

}  // namespace

std::optional<std::int64_t> ProjectOfBot(std::string_view username) { return IdIn(username, "project_"); }

bool IsResourceBot(std::string_view username) {
  return ProjectOfBot(username).has_value() || IdIn(username, "group_").has_value();
}

}  // namespace tokenbroker
