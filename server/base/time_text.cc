#include "server/base/time_text.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace tokenbroker {
namespace {

using std::chrono::days;
using std::chrono::floor;
using std::chrono::year_month_day;

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> kWeekdays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

// The bounds of google.protobuf.Timestamp: what is outside cannot be shown to anybody.
constexpr WallTime kMinTimestamp(seconds(-62'135'596'800));                // 0001-01-01T00:00:00Z
constexpr WallTime kMaxTimestamp(seconds(253'402'300'800) - Duration(1));  // The end of 9999.

// Reads exactly `digits` decimal digits off the front.
std::optional<int> TakeNumber(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool TakeText(std::string_view& text, std::string_view expected) {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(expected.size());
  return true;
}

std::optional<Date> MakeDate(int year, int month, int day) {
  const year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                            std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return Date(date);
}

std::optional<Date> TakeDate(std::string_view& text) {
  const std::optional<int> year = TakeNumber(text, 4);
  if (!year || !TakeText(text, "-")) return std::nullopt;
  const std::optional<int> month = TakeNumber(text, 2);
  if (!month || !TakeText(text, "-")) return std::nullopt;
  const std::optional<int> day = TakeNumber(text, 2);
  if (!day) return std::nullopt;
  return MakeDate(*year, *month, *day);
}

// hh:mm:ss
std::optional<Duration> TakeClock(std::string_view& text) {
  const std::optional<int> hour = TakeNumber(text, 2);
  if (!hour || *hour > 23 || !TakeText(text, ":")) return std::nullopt;
  const std::optional<int> minute = TakeNumber(text, 2);
  if (!minute || *minute > 59 || !TakeText(text, ":")) return std::nullopt;
  const std::optional<int> second = TakeNumber(text, 2);
  if (!second || *second > 60) return std::nullopt;
  return hours(*hour) + minutes(*minute) + seconds(std::min(*second, 59));
}

struct Civil {
  int year, hour, minute, second, micros;
  unsigned month, day, weekday;
};

Civil CivilOf(WallTime time) {
  const Date day = DateOf(time);
  const year_month_day date(day);
  const std::int64_t micros = (time - MidnightOf(day)).count();
  const auto whole = static_cast<int>(micros / 1'000'000);
  return {static_cast<int>(date.year()),
          whole / 3600,
          whole / 60 % 60,
          whole % 60,
          static_cast<int>(micros % 1'000'000),
          static_cast<unsigned>(date.month()),
          static_cast<unsigned>(date.day()),
          std::chrono::weekday(day).c_encoding()};
}

}  // namespace

WallTime MidnightOf(Date date) { return WallTime(duration_cast<Duration>(date.time_since_epoch())); }

Date DateOf(WallTime time) { return Date(floor<days>(time.time_since_epoch())); }

std::string FormatDate(Date date) {
  const Civil civil = CivilOf(MidnightOf(date));
  char text[24];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u", civil.year, civil.month, civil.day);
  return text;
}

std::optional<Date> ParseDate(std::string_view text) {
  const std::optional<Date> date = TakeDate(text);
  return text.empty() ? date : std::nullopt;
}

std::string FormatRfc3339(WallTime time) {
  const Civil civil = CivilOf(time);
  char text[48];
  int length = std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d", civil.year, civil.month, civil.day,
                             civil.hour, civil.minute, civil.second);
  std::string out(text, static_cast<std::size_t>(length));
  if (civil.micros != 0) {
    length = civil.micros % 1000 == 0 ? std::snprintf(text, sizeof text, ".%03d", civil.micros / 1000)
                                      : std::snprintf(text, sizeof text, ".%06d", civil.micros);
    out.append(text, static_cast<std::size_t>(length));
  }
  return out + 'Z';
}

std::optional<WallTime> ParseRfc3339(std::string_view text) {
  const std::optional<Date> date = TakeDate(text);
  if (!date || (!TakeText(text, "T") && !TakeText(text, "t"))) return std::nullopt;
  const std::optional<Duration> clock = TakeClock(text);
  if (!clock) return std::nullopt;
  std::int64_t micros = 0;
  if (TakeText(text, ".")) {
    std::size_t digits = 0;
    std::int64_t unit = 100'000;
    for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
      micros += (text[digits] - '0') * unit;
      unit /= 10;
    }
    if (digits == 0 || digits > 9) return std::nullopt;
    text.remove_prefix(digits);
  }
  Duration offset{0};
  if (!TakeText(text, "Z") && !TakeText(text, "z")) {
    const bool behind = text.starts_with('-');
    if (!TakeText(text, "+") && !TakeText(text, "-")) return std::nullopt;
    const std::optional<int> hour = TakeNumber(text, 2);
    if (!hour || *hour > 23 || !TakeText(text, ":")) return std::nullopt;
    const std::optional<int> minute = TakeNumber(text, 2);
    if (!minute || *minute > 59) return std::nullopt;
    offset = hours(*hour) + minutes(*minute);
    if (behind) offset = -offset;
  }
  if (!text.empty()) return std::nullopt;
  const WallTime time = MidnightOf(*date) + *clock + Duration(micros) - offset;
  if (time < kMinTimestamp || time > kMaxTimestamp) return std::nullopt;
  return time;
}

std::optional<WallTime> ParseHttpDate(std::string_view text) {
  const bool weekday = std::any_of(kWeekdays.begin(), kWeekdays.end(), [&](auto day) { return TakeText(text, day); });
  if (!weekday || !TakeText(text, ", ")) return std::nullopt;
  const std::optional<int> day = TakeNumber(text, 2);
  if (!day || !TakeText(text, " ")) return std::nullopt;
  const auto month = std::find_if(kMonths.begin(), kMonths.end(), [&](auto name) { return TakeText(text, name); });
  if (month == kMonths.end() || !TakeText(text, " ")) return std::nullopt;
  const std::optional<int> year = TakeNumber(text, 4);
  if (!year || !TakeText(text, " ")) return std::nullopt;
  const std::optional<Duration> clock = TakeClock(text);
  if (!clock || text != " GMT") return std::nullopt;
  const std::optional<Date> date = MakeDate(*year, static_cast<int>(month - kMonths.begin()) + 1, *day);
  if (!date) return std::nullopt;
  return MidnightOf(*date) + *clock;
}

std::string FormatHttpDate(WallTime time) {
  const Civil civil = CivilOf(time);
  char text[64];
  std::snprintf(text, sizeof text, "%s, %02u %s %04d %02d:%02d:%02d GMT", kWeekdays[civil.weekday].data(), civil.day,
                kMonths[civil.month - 1].data(), civil.year, civil.hour, civil.minute, civil.second);
  return text;
}

std::string FormatDuration(Duration duration) {
  std::int64_t left = duration_cast<seconds>(duration).count();
  std::string out;
  if (left < 0) {
    out = "-";
    left = -left;
  }
  constexpr std::pair<std::int64_t, char> kUnits[] = {{86'400, 'd'}, {3'600, 'h'}, {60, 'm'}, {1, 's'}};
  bool any = false;
  for (const auto& [size, name] : kUnits) {
    if (left < size) continue;
    out += std::to_string(left / size) + name;
    left %= size;
    any = true;
  }
  return any ? out : "0s";
}

std::string FormatProtoDuration(Duration duration) {
  const std::int64_t micros = duration.count() % 1'000'000;
  std::string text = duration < Duration(0) ? "-" : "";
  text += std::to_string(std::abs(duration_cast<seconds>(duration).count()));
  if (micros != 0) {
    std::string digits = std::to_string(std::abs(micros));
    digits.insert(0, 6 - digits.size(), '0');
    if (digits.ends_with("000")) digits.resize(3);
    text += '.' + digits;
  }
  return text + 's';
}

std::optional<Duration> ParseDuration(std::string_view text) {
  constexpr std::int64_t kMaxSeconds = std::int64_t{100'000} * 86'400;
  constexpr std::pair<char, std::int64_t> kUnits[] = {{'d', 86'400}, {'h', 3'600}, {'m', 60}, {'s', 1}};
  if (text.empty()) return std::nullopt;
  std::int64_t total = 0;
  std::int64_t previous = kMaxSeconds;
  while (!text.empty()) {
    std::size_t digits = 0;
    std::int64_t value = 0;
    for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
      if (digits == 11) return std::nullopt;
      value = value * 10 + (text[digits] - '0');
    }
    if (digits == 0 || digits == text.size()) return std::nullopt;
    const auto* unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                                    [&](const auto& each) { return each.first == text[digits]; });
    if (unit == std::end(kUnits) || unit->second >= previous) return std::nullopt;
    previous = unit->second;
    if (value > kMaxSeconds / unit->second) return std::nullopt;
    total += value * unit->second;
    if (total > kMaxSeconds) return std::nullopt;
    text.remove_prefix(digits + 1);
  }
  return duration_cast<Duration>(seconds(total));
}

}  // namespace tokenbroker
