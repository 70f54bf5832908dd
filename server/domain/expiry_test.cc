#include "server/domain/expiry.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace tokenbroker {
namespace {

WallTime At(const char* text) { return ParseRfc3339(text).value(); }
Date Day(const char* text) { return ParseDate(text).value(); }

TEST(ExpiryTest, DateLeavesTheGuard) {
  struct Row {
    const char* expire;
    Duration skew;
    const char* date;
  };
  const std::vector<Row> rows = {
      {"2026-11-25T12:00:00Z", Duration(0), "2026-11-26"},
      {"2026-11-25T23:00:00Z", Duration(0), "2026-11-26"},  // Exactly the guard of an hour is left.
      {"2026-11-25T23:00:00.000001Z", Duration(0), "2026-11-27"},
      {"2026-11-26T00:00:00Z", Duration(0), "2026-11-27"},
      {"2026-11-25T23:00:00Z", minutes(30), "2026-11-26"},  // Twice this is an hour still.
      {"2026-11-25T23:00:00Z", minutes(30) + Duration(1), "2026-11-27"},
      {"2026-11-25T23:00:00Z", -minutes(30) - Duration(1), "2026-11-27"},
      {"2026-11-25T22:00:00Z", -hours(1), "2026-11-26"},
      {"2026-12-31T23:30:00Z", Duration(0), "2027-01-02"},
      {"2028-02-28T23:30:00Z", Duration(0), "2028-03-01"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(FormatDate(UpstreamDateFor(At(row.expire), row.skew)), row.date) << row.expire;
  }
}

// Whatever the hour and the skew: the midnight is never inside the guard, and never a day later than needed.
TEST(ExpiryTest, DateIsTheFirstThatLeavesTheGuard) {
  const WallTime start = At("2026-11-25T00:00:00Z");
  for (int minute = 0; minute < 2 * 24 * 60; minute += 7) {
    for (const Duration skew : {Duration(0), Duration(minutes(14)), Duration(-minutes(45)), Duration(hours(3))}) {
      const WallTime expire = start + minutes(minute);
      const Duration size = skew < Duration(0) ? -skew : skew;
      const WallTime earliest = expire + std::max<Duration>(hours(1), 2 * size);
      const Date date = UpstreamDateFor(expire, skew);
      EXPECT_GE(MidnightOf(date), earliest) << minute;
      EXPECT_LT(MidnightOf(date - std::chrono::days(1)), earliest) << minute;
    }
  }
}

TEST(ExpiryTest, WithinTheInstancesLatestDate) {
  const WallTime late = At("2026-11-25T23:30:00Z");
  EXPECT_EQ(UpstreamDateWithin(late, Duration(0), Day("2026-11-28")), Day("2026-11-27"));
  EXPECT_EQ(UpstreamDateWithin(late, Duration(0), Day("2026-11-27")), Day("2026-11-27"));
  // The guard gives way to the instance, the caller's ttl does not.
  EXPECT_EQ(UpstreamDateWithin(late, Duration(0), Day("2026-11-26")), Day("2026-11-26"));
  EXPECT_EQ(UpstreamDateWithin(late, Duration(0), Day("2026-11-25")), std::nullopt);
  EXPECT_EQ(UpstreamDateWithin(At("2026-11-26T00:00:00Z"), Duration(0), Day("2026-11-26")), Day("2026-11-26"));
  EXPECT_EQ(UpstreamDateWithin(At("2026-11-26T00:00:00.000001Z"), Duration(0), Day("2026-11-26")), std::nullopt);
}

// A request for it that is sent up to a minute later must fit.
TEST(ExpiryTest, TheLongestTtlFitsAMinuteLater) {
  EXPECT_EQ(LongestTtl(Day("2026-11-26"), At("2026-11-25T12:00:00Z")), hours(12) - minutes(1));
  EXPECT_EQ(LongestTtl(Day("2026-11-26"), At("2026-11-25T12:00:59.999999Z")), hours(12) - minutes(2));
  EXPECT_EQ(LongestTtl(Day("2026-11-26"), At("2026-11-25T23:59:30Z")), Duration(0));
  EXPECT_EQ(LongestTtl(Day("2026-11-26"), At("2026-11-27T00:00:00Z")), Duration(0));
}

std::vector<Duration> LooksOf(Duration settle) {
  const WallTime create = At("2026-11-25T12:00:00Z");
  std::vector<Duration> looks;
  std::optional<WallTime> last;
  for (auto next = NextLook(create, settle, last); next.has_value(); next = NextLook(create, settle, last)) {
    looks.push_back(*next - create);
    last = next;
    if (looks.size() > 10) break;  // A schedule without an end fails the comparison.
  }
  return looks;
}

TEST(LookTest, Schedule) {
  EXPECT_EQ(LooksOf(minutes(10)), (std::vector<Duration>{seconds(90), seconds(605), hours(1), hours(24)}));
  EXPECT_EQ(LooksOf(seconds(180)), (std::vector<Duration>{seconds(90), seconds(185), hours(1), hours(24)}));
  EXPECT_EQ(LooksOf(hours(2)), (std::vector<Duration>{seconds(90), hours(1), hours(2) + seconds(5), hours(24)}));
  EXPECT_EQ(LooksOf(hours(48)), (std::vector<Duration>{seconds(90), hours(1), hours(24), hours(48) + seconds(5)}));
  // Two that fall together are one.
  EXPECT_EQ(LooksOf(minutes(60) - kSendWindow), (std::vector<Duration>{seconds(90), hours(1), hours(24)}));
}

// A broker that was away makes one look for all that it missed.
TEST(LookTest, ALateLookStandsForTheMissed) {
  const WallTime create = At("2026-11-25T12:00:00Z");
  EXPECT_EQ(NextLook(create, minutes(10), create + minutes(30)), create + hours(1));
  EXPECT_EQ(NextLook(create, minutes(10), create + hours(5)), create + hours(24));
  EXPECT_EQ(NextLook(create, minutes(10), create + hours(24)), std::nullopt);
  EXPECT_EQ(NextLook(create, minutes(10), create - hours(1)), create + kGiveUpAfter);
}

TEST(LookTest, OnlyTheLookAtSettleOrLaterCloses) {
  const WallTime create = At("2026-11-25T12:00:00Z");
  const WallTime settled = create + kSendWindow + minutes(10);
  EXPECT_FALSE(LookMayClose(create, minutes(10), create + kGiveUpAfter));
  EXPECT_FALSE(LookMayClose(create, minutes(10), settled - Duration(1)));
  EXPECT_TRUE(LookMayClose(create, minutes(10), settled));
  EXPECT_TRUE(LookMayClose(create, minutes(10), create + hours(24)));
}

}  // namespace
}  // namespace tokenbroker
