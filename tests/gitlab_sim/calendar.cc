#include "tests/gitlab_sim/calendar.h"

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace tokenbroker::gitlab_sim {
namespace {

using std::chrono::day;
using std::chrono::days;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::month;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::year;
using std::chrono::year_month_day;

constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<const char*, 7> kWeekdays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

// Reads exactly `count` digits at `*at` and moves on.
std::optional<int> Digits(const std::string& text, size_t* at, size_t count) {
  if (*at + count > text.size()) return std::nullopt;
  int value = 0;
  for (size_t i = 0; i < count; ++i) {
    const char c = text[*at + i];
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  *at += count;
  return value;
}

bool Skip(const std::string& text, size_t* at, char expected) {
  if (*at >= text.size() || text[*at] != expected) return false;
  ++*at;
  return true;
}

std::optional<sys_days> ReadDate(const std::string& text, size_t* at) {
  const auto y = Digits(text, at, 4);
  if (!y || !Skip(text, at, '-')) return std::nullopt;
  const auto m = Digits(text, at, 2);
  if (!m || !Skip(text, at, '-')) return std::nullopt;
  const auto d = Digits(text, at, 2);
  if (!d) return std::nullopt;
  const year_month_day date{year(*y), month(static_cast<unsigned>(*m)), day(static_cast<unsigned>(*d))};
  if (!date.ok()) return std::nullopt;
  return sys_days(date);
}

struct Broken {
  int year, month, day, weekday, hour, minute, second, millisecond;
};

Broken Break(TimePoint time) {
  const sys_days date = DayOf(time);
  const year_month_day ymd(date);
  const auto rest = time - date;
  Broken out{};
  out.year = static_cast<int>(ymd.year());
  out.month = static_cast<int>(static_cast<unsigned>(ymd.month()));
  out.day = static_cast<int>(static_cast<unsigned>(ymd.day()));
  out.weekday = static_cast<int>(std::chrono::weekday(date).c_encoding());
  out.hour = static_cast<int>(std::chrono::floor<hours>(rest).count());
  out.minute = static_cast<int>(std::chrono::floor<minutes>(rest).count() % 60);
  out.second = static_cast<int>(std::chrono::floor<seconds>(rest).count() % 60);
  out.millisecond = static_cast<int>(rest.count() % 1000);
  return out;
}

}  // namespace

sys_days DayOf(TimePoint time) { return std::chrono::floor<days>(time); }

std::string DateText(sys_days day) {
  const Broken b = Break(day);
  std::array<char, 64> out{};
  std::snprintf(out.data(), out.size(), "%04d-%02d-%02d", b.year, b.month, b.day);
  return out.data();
}

std::string TimestampText(TimePoint time) {
  const Broken b = Break(time);
  std::array<char, 96> out{};
  std::snprintf(out.data(), out.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", b.year, b.month, b.day, b.hour, b.minute,
                b.second, b.millisecond);
  return out.data();
}

std::string HttpDateText(TimePoint time) {
  const Broken b = Break(time);
  std::array<char, 96> out{};
  std::snprintf(out.data(), out.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT", kWeekdays.at(b.weekday), b.day,
                kMonths.at(b.month - 1), b.year, b.hour, b.minute, b.second);
  return out.data();
}

std::optional<sys_days> ParseDate(const std::string& text) {
  size_t at = 0;
  const auto date = ReadDate(text, &at);
  if (!date) return std::nullopt;
  if (at != text.size() && text[at] != 'T' && text[at] != ' ') return std::nullopt;
  return date;
}

std::optional<TimePoint> ParseTimestamp(const std::string& text) {
  size_t at = 0;
  const auto date = ReadDate(text, &at);
  if (!date) return std::nullopt;
  TimePoint time = *date;
  if (at == text.size()) return time;
  if (text[at] != 'T' && text[at] != ' ') return std::nullopt;
  ++at;
  const auto hour = Digits(text, &at, 2);
  if (!hour || *hour > 23 || !Skip(text, &at, ':')) return std::nullopt;
  const auto minute = Digits(text, &at, 2);
  if (!minute || *minute > 59) return std::nullopt;
  time += hours(*hour) + minutes(*minute);
  if (Skip(text, &at, ':')) {
    const auto second = Digits(text, &at, 2);
    if (!second || *second > 59) return std::nullopt;
    time += seconds(*second);
  }
  if (Skip(text, &at, '.')) {
    int unit = 100;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10) {
      time += milliseconds(unit * (text[at] - '0'));
    }
  }
  if (at == text.size() || (text[at] == 'Z' && at + 1 == text.size())) return time;
  if (text[at] != '+' && text[at] != '-') return std::nullopt;
  const int sign = text[at] == '+' ? 1 : -1;
  ++at;
  const auto zone_hour = Digits(text, &at, 2);
  if (!zone_hour) return std::nullopt;
  Skip(text, &at, ':');
  const auto zone_minute = Digits(text, &at, 2);
  if (!zone_minute || at != text.size()) return std::nullopt;
  return time - sign * (hours(*zone_hour) + minutes(*zone_minute));
}

std::optional<TimePoint> ParseHttpDate(const std::string& text) {
  std::array<char, 4> weekday{};
  std::array<char, 4> name{};
  int d = 0;
  int y = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  // NOLINTNEXTLINE(cert-err34-c): every field is checked below through the calendar.
  if (std::sscanf(text.c_str(), "%3s, %d %3s %d %d:%d:%d GMT", weekday.data(), &d, name.data(), &y, &hour, &minute,
                  &second) != 7) {
    return std::nullopt;
  }
  for (unsigned i = 0; i < kMonths.size(); ++i) {
    if (std::string(name.data()) != kMonths.at(i)) continue;
    const year_month_day date{year(y), month(i + 1), day(static_cast<unsigned>(d))};
    if (!date.ok()) return std::nullopt;
    return TimePoint(sys_days(date)) + hours(hour) + minutes(minute) + seconds(second);
  }
  return std::nullopt;
}

}  // namespace tokenbroker::gitlab_sim
