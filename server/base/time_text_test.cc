#include "server/base/time_text.h"

#include <gtest/gtest.h>

namespace tokenbroker {
namespace {

TEST(TimeTextTest, DatesRoundTripAndImpossibleOnesAreRefused) {
  for (const char* text : {"1970-01-01", "2024-02-29", "2026-12-31", "2100-02-28"}) {
    const std::optional<Date> date = ParseDate(text);
    ASSERT_TRUE(date.has_value()) << text;
    EXPECT_EQ(FormatDate(*date), text);
    EXPECT_EQ(DateOf(MidnightOf(*date)), *date);
    EXPECT_EQ(DateOf(MidnightOf(*date) - Duration(1)), *date - std::chrono::days(1));
  }
  for (const char* text :
       {"", "2026-02-29", "2100-02-29", "2026-13-01", "2026-1-1", "2026-01-01T00:00:00Z", "26-01-01"}) {
    EXPECT_FALSE(ParseDate(text).has_value()) << text;
  }
}

TEST(TimeTextTest, Rfc3339WithOffsetsAndFractions) {
  const WallTime time = *ParseRfc3339("2026-06-17T08:34:46.804Z");
  EXPECT_EQ(FormatRfc3339(time), "2026-06-17T08:34:46.804Z");
  EXPECT_EQ(*ParseRfc3339("2026-06-17T10:34:46.804+02:00"), time);
  EXPECT_EQ(*ParseRfc3339("2026-06-17T06:04:46.804-02:30"), time);
  EXPECT_EQ(FormatRfc3339(*ParseRfc3339("2026-06-17T08:34:46.000001999Z")), "2026-06-17T08:34:46.000001Z");
  EXPECT_EQ(FormatRfc3339(*ParseRfc3339("2026-06-17T08:34:46Z")), "2026-06-17T08:34:46Z");
  for (const char* text : {"", "2026-06-17", "2026-06-17T08:34:46", "2026-06-17 08:34:46Z", "2026-06-17T24:00:00Z",
                           "2026-06-17T08:34:46.Z", "2026-06-17T08:34:46Zx", "2026-06-17T08:34:46+2:00"}) {
    EXPECT_FALSE(ParseRfc3339(text).has_value()) << text;
  }
}

// google.protobuf.Timestamp has no other.
TEST(TimeTextTest, Rfc3339OfTheYears1To9999) {
  for (const char* text : {"0001-01-01T00:00:00Z", "0001-01-01T02:00:00+02:00", "9999-12-31T23:59:59.999999Z",
                           "9999-12-31T22:59:59-01:00"}) {
    EXPECT_TRUE(ParseRfc3339(text).has_value()) << text;
  }
  EXPECT_EQ(FormatRfc3339(*ParseRfc3339("0001-01-01T00:00:00Z")), "0001-01-01T00:00:00Z");
  for (const char* text :
       {"0000-01-01T00:00:00Z", "0000-12-31T23:59:59Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"}) {
    EXPECT_FALSE(ParseRfc3339(text).has_value()) << text;
  }
}

TEST(TimeTextTest, HttpDates) {
  const WallTime time = *ParseHttpDate("Wed, 17 Jun 2026 08:34:45 GMT");
  EXPECT_EQ(FormatRfc3339(time), "2026-06-17T08:34:45Z");
  EXPECT_EQ(FormatHttpDate(time), "Wed, 17 Jun 2026 08:34:45 GMT");
  for (const char* text :
       {"", "17 Jun 2026 08:34:45 GMT", "Wed, 17 Jun 2026 08:34:45 UTC", "Wed, 31 Jun 2026 08:34:45 GMT"}) {
    EXPECT_FALSE(ParseHttpDate(text).has_value()) << text;
  }
}

TEST(TimeTextTest, DurationsAsProtobufWritesThem) {
  EXPECT_EQ(FormatProtoDuration(hours(1)), "3600s");
  EXPECT_EQ(FormatProtoDuration(Duration(90'500'000)), "90.500s");
  EXPECT_EQ(FormatProtoDuration(Duration(1)), "0.000001s");
  EXPECT_EQ(FormatProtoDuration(Duration(-1'500'000)), "-1.500s");
  EXPECT_EQ(FormatProtoDuration(Duration(-1)), "-0.000001s");
  EXPECT_EQ(FormatProtoDuration(Duration(0)), "0s");
}

TEST(TimeTextTest, DurationsForPeople) {
  EXPECT_EQ(FormatDuration(seconds(0)), "0s");
  EXPECT_EQ(FormatDuration(minutes(90)), "1h30m");
  EXPECT_EQ(FormatDuration(hours(49)), "2d1h");
  EXPECT_EQ(FormatDuration(-seconds(61)), "-1m1s");
  EXPECT_EQ(*ParseDuration("1h30m"), minutes(90));
  EXPECT_EQ(*ParseDuration("30d"), hours(720));
  EXPECT_EQ(*ParseDuration("90s"), seconds(90));
  for (const char* text :
       {"", "5", "m", "1.5h", "-1h", "30m1h", "1h1h", "1w", "1 h", "100001d", "99999999999999999999s"}) {
    EXPECT_FALSE(ParseDuration(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace tokenbroker
