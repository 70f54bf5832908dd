// Dates and times in the forms that GitLab reads and writes. UTC only.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

std::chrono::sys_days DayOf(TimePoint time);

std::string DateText(std::chrono::sys_days day);  // 2026-06-24
std::string TimestampText(TimePoint time);        // 2026-06-24T22:55:54.718Z
std::string HttpDateText(TimePoint time);         // Wed, 24 Jun 2026 22:55:54 GMT

// A date, or the date of a date and time (GitLab cuts the rest off a Date parameter).
std::optional<std::chrono::sys_days> ParseDate(const std::string& text);
// A date and time; a bare date means its midnight. `Z`, `+hh:mm` or no zone (UTC).
std::optional<TimePoint> ParseTimestamp(const std::string& text);
std::optional<TimePoint> ParseHttpDate(const std::string& text);

}  // namespace tokenbroker::gitlab_sim
