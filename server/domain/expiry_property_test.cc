// GitLab's date for every kind of instant: around each midnight from June 2027 to March 2029 (a leap day, ends of
// months and years among them), with every skew that is tolerated and more, and under every instance maximum near it.
// The calendar and the choice are made here a second time, by counting days and trying all of them.

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "server/domain/expiry.h"

namespace tokenbroker {
namespace {

constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;

// A day as a person counts it, and the microsecond at which it begins.
struct Day {
  std::string text;
  Date date;  // The house's word for it, from the text.
  std::int64_t begin;
};

bool IsLeapYear(int year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

// Day after day from 2027-06-01, which began 1,811,808,000 s after 1970.
std::vector<Day> Calendar(std::size_t days) {
  std::vector<Day> calendar;
  int year = 2027;
  int month = 6;
  int day = 1;
  for (std::int64_t begin = 1'811'808'000 * kSecond; calendar.size() < days; begin += kDay) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "%04d-%02d-%02d", year, month, day);
    calendar.push_back({text.data(), ParseDate(text.data()).value(), begin});
    const std::array<int, 12> lengths = {31, IsLeapYear(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (++day > lengths.at(static_cast<std::size_t>(month - 1))) {
      day = 1;
      if (++month > 12) {
        month = 1;
        ++year;
      }
    }
  }
  return calendar;
}

// Offsets from a midnight: the midnight itself, the guard's ends, the middle of the day, and a microsecond beside each.
std::vector<std::int64_t> Offsets() {
  std::set<std::int64_t> offsets;
  for (const std::int64_t about : {-12 * kHour, -2 * kHour, -kHour, -30 * kMinute, -kMinute, -kSecond, std::int64_t{0},
                                   kSecond, kHour, 11 * kHour}) {
    for (const std::int64_t beside : {-1, 0, 1}) offsets.insert(about + beside);
  }
  return {offsets.begin(), offsets.end()};
}

std::vector<std::int64_t> Skews() {
  std::vector<std::int64_t> skews = {0};
  for (const std::int64_t size :
       {5 * kSecond, 15 * kMinute, 30 * kMinute - 1, 30 * kMinute, 30 * kMinute + 1, 36 * kHour}) {
    skews.push_back(size);
    skews.push_back(-size);
  }
  return skews;
}

// How wrong GitLab's clock may be by what the broker knows of it, in either direction.
std::int64_t ErrorOf(std::int64_t skew) {
  const std::int64_t twice = 2 * (skew < 0 ? -skew : skew);
  return twice < kHour ? kHour : twice;
}

// GitLab's rule: alive while its own day is before the token's date.
bool AliveAtGitLab(const std::vector<Day>& calendar, std::int64_t gitlab_now, Date date) {
  const Day* today = nullptr;
  for (const Day& day : calendar) {
    if (day.begin <= gitlab_now) today = &day;
  }
  return today != nullptr && today->date < date;
}

class ExpiryPropertyTest : public testing::Test {
 protected:
  // Calls `check` with each instant, and the days around it.
  template <typename Check>
  void ForEveryInstant(Check check) {
    const std::vector<std::int64_t> offsets = Offsets();
    for (std::size_t day = 5; day + 8 < calendar_.size() && !HasFailure(); ++day) {
      const std::vector<Day> around(calendar_.begin() + static_cast<std::ptrdiff_t>(day) - 5,
                                    calendar_.begin() + static_cast<std::ptrdiff_t>(day) + 8);
      for (const std::int64_t offset : offsets) {
        for (const std::int64_t skew : skews_) check(calendar_[day].begin + offset, skew, around);
      }
    }
  }

  const std::vector<std::int64_t> skews_ = Skews();
  const std::vector<Day> calendar_ = Calendar(650);
};

// Of all days, the first that lies the guard behind the token's end.
TEST_F(ExpiryPropertyTest, TheDateIsTheFirstThatCannotCutTheTokenShort) {
  std::int64_t instants = 0;
  ForEveryInstant([&](std::int64_t expire, std::int64_t skew, const std::vector<Day>& around) {
    const Day* first = nullptr;
    for (const Day& day : around) {
      if (first == nullptr && day.begin - expire >= ErrorOf(skew)) first = &day;
    }
    ASSERT_NE(first, nullptr);
    ASSERT_EQ(UpstreamDateFor(FromMicros(expire), Duration(skew)), first->date)
        << FormatRfc3339(FromMicros(expire)) << " skew " << skew << " expected " << first->text;
    ++instants;
  });
  EXPECT_GT(instants, 200'000);
}

// By GitLab's own clock, however wrong it may be: alive from the first microsecond to the last.
TEST_F(ExpiryPropertyTest, NoTokenIsBornDeadOrCutShort) {
  ForEveryInstant([&](std::int64_t expire, std::int64_t skew, const std::vector<Day>& around) {
    const Date date = UpstreamDateFor(FromMicros(expire), Duration(skew));
    const std::int64_t last = expire - 1;
    const std::int64_t born = expire - kMinTtl.count();
    for (const std::int64_t error : {-ErrorOf(skew), skew, std::int64_t{0}, ErrorOf(skew)}) {
      ASSERT_TRUE(AliveAtGitLab(around, born + error, date)) << FormatRfc3339(FromMicros(expire)) << " skew " << skew;
      ASSERT_TRUE(AliveAtGitLab(around, last + error, date)) << FormatRfc3339(FromMicros(expire)) << " skew " << skew;
    }
  });
}

// Under an instance's maximum: the same date if it is allowed; else the latest one that does not end before the token;
// else none, and then really no allowed date would have done.
TEST_F(ExpiryPropertyTest, UnderAMaximumTheGuardGivesWayButNotTheTtl) {
  ForEveryInstant([&](std::int64_t expire, std::int64_t skew, const std::vector<Day>& around) {
    for (std::size_t latest = 2; latest < around.size(); ++latest) {
      std::optional<Date> expected;
      for (std::size_t day = 0; day <= latest; ++day) {
        if (around[day].begin < expire) continue;
        // A later day that is long enough is better until one has the whole guard.
        expected = around[day].date;
        if (around[day].begin - expire >= ErrorOf(skew)) break;
      }
      const std::optional<Date> date = UpstreamDateWithin(FromMicros(expire), Duration(skew), around[latest].date);
      ASSERT_EQ(date, expected) << FormatRfc3339(FromMicros(expire)) << " skew " << skew << " latest "
                                << around[latest].text;
      if (!date.has_value()) continue;
      ASSERT_LE(*date, around[latest].date);
      ASSERT_TRUE(AliveAtGitLab(around, expire - 1, *date));  // By a clock that is right.
    }
  });
}

// The calendar here and the house's own are the same one.
TEST_F(ExpiryPropertyTest, TheCalendarsAgree) {
  for (const Day& day : calendar_) ASSERT_EQ(MicrosOf(MidnightOf(day.date)), day.begin) << day.text;
  std::set<std::string> days;
  for (const Day& day : calendar_) days.insert(day.text);
  EXPECT_TRUE(days.contains("2028-02-29"));
  EXPECT_FALSE(days.contains("2029-02-29"));
  EXPECT_TRUE(days.contains("2029-03-01"));
}

}  // namespace
}  // namespace tokenbroker
