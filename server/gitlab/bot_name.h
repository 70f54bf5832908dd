#pragma once
// The users that GitLab makes for its resource tokens: "project_7_bot_...", "group_5_bot_...".

#include <cstdint>
#include <optional>
#include <string_view>

namespace tokenbroker {

// The project whose bot this is; nothing for any other user.
std::optional<std::int64_t> ProjectOfBot(std::string_view username);
// A project's or a group's bot.
bool IsResourceBot(std::string_view username);

}  // namespace tokenbroker
