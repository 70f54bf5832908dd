#pragma once
// Times and dates as texts: RFC 3339 (ours, GitLab's), the HTTP date of RFC 9110, and GitLab's calendar days.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "server/base/clock.h"

namespace tokenbroker {

// A UTC calendar day.
using Date = std::chrono::sys_days;

WallTime MidnightOf(Date date);  // 00:00:00 UTC at its start.
Date DateOf(WallTime time);      // The UTC day that holds `time`.

std::string FormatDate(Date date);                     // "2026-11-25"
std::optional<Date> ParseDate(std::string_view text);  // Exactly YYYY-MM-DD, a day that exists.

// "2026-11-25T06:53:14Z", with as many of 0, 3 or 6 decimals as are needed.
std::string FormatRfc3339(WallTime time);
// With any offset and up to nine decimals (cut to microseconds); an instant of the years 1 to 9999, in UTC.
std::optional<WallTime> ParseRfc3339(std::string_view text);

// "Wed, 25 Nov 2026 06:53:14 GMT", the one form that is sent today.
std::optional<WallTime> ParseHttpDate(std::string_view text);
std::string FormatHttpDate(WallTime time);

// For people: "90s", "15m", "1h30m", "3d". Whole seconds.
std::string FormatDuration(Duration duration);
// As protobuf's JSON mapping writes a google.protobuf.Duration: "3600s", "0.000001s", "-1.500s".
std::string FormatProtoDuration(Duration duration);
// "90s", "15m", "1h", "30d", "1h30m": whole numbers, each with a unit of s, m, h or d, larger units first.
// Nothing else, and no more than 100,000 days.
std::optional<Duration> ParseDuration(std::string_view text);

}  // namespace tokenbroker
