#include <array>
#include <cstdint>

#include "gtest/gtest.h"
#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/json_text.h"
#include "tests/gitlab_sim/secret_format.h"

namespace tokenbroker::gitlab_sim {
namespace {

constexpr std::array<uint8_t, 16> kCounting = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

TEST(SecretFormat, RoutableTokensCarryOwnerLengthAndChecksum) {
  EXPECT_EQ(RoutableToken("glpat-", {.organization = 1, .user = 2}, kCounting, ""),
            "glpat-bzoxCnU6MgABAgMEBQYHCAkKCwwNDg8Q.0w1s8wgmg");
  EXPECT_EQ(RoutableToken("glpat-", {.organization = 1, .user = 2}, kCounting, "01"),
            "glpat-bzoxCnU6MgABAgMEBQYHCAkKCwwNDg8Q.01.0w0f3z10x");
  EXPECT_EQ(RoutableToken("glpat-", {.organization = 1, .user = 42}, kCounting, "01"),
            "glpat-bzoxCnU6MTYAAQIDBAUGBwgJCgsMDQ4PEA.01.0y0ej1gru");
  EXPECT_EQ(RoutableToken("glpat-", {.organization = 1, .user = 32923, .cell = 1}, kCounting, "01"),
            "glpat-YzoxCm86MQp1OnBlagABAgMEBQYHCAkKCwwNDg8Q.01.141iuysgh");
}

TEST(SecretFormat, RecordedLengths) {
  uint64_t next = 0;
  EXPECT_EQ(LegacyToken("glpat-", [&next] { return ++next; }).size(), 26U);
  EXPECT_EQ(RoutableToken("glpat-", {.organization = 1, .user = 35}, kCounting, "01").size(), 51U);
  EXPECT_EQ(RoutableToken("glpat-", {.organization = 1, .user = 36}, kCounting, "01").size(), 53U);
}

TEST(Calendar, WritesWhatGitLabWrites) {
  const auto time = ParseTimestamp("2026-06-24T22:55:54.718Z");
  ASSERT_TRUE(time);
  EXPECT_EQ(TimestampText(*time), "2026-06-24T22:55:54.718Z");
  EXPECT_EQ(DateText(DayOf(*time)), "2026-06-24");
  EXPECT_EQ(HttpDateText(*time), "Wed, 24 Jun 2026 22:55:54 GMT");
  EXPECT_EQ(TimestampText(*ParseHttpDate("Wed, 24 Jun 2026 22:55:54 GMT")), "2026-06-24T22:55:54.000Z");
}

TEST(Calendar, ReadsDatesAndTimes) {
  EXPECT_EQ(TimestampText(*ParseTimestamp("2026-06-24")), "2026-06-24T00:00:00.000Z");
  EXPECT_EQ(TimestampText(*ParseTimestamp("2026-06-24T01:30:00+02:00")), "2026-06-23T23:30:00.000Z");
  EXPECT_EQ(DateText(*ParseDate("2026-06-24T23:59:59Z")), "2026-06-24");
  for (const char* bad : {"", "2026", "2026-13-01", "2026-02-30", "24.06.2026", "2026-06-24x"}) {
    EXPECT_FALSE(ParseDate(bad)) << bad;
    EXPECT_FALSE(ParseTimestamp(bad)) << bad;
  }
  EXPECT_FALSE(ParseTimestamp("2026-06-24T25:00:00Z"));
}

TEST(JsonText, EscapesAsGitLabDoes) {
  EXPECT_EQ(JsonObject().Text("a", "<&>\"\\\n\x01").Null("b").Bool("c", true).Finish(),
            "{\"a\":\"\\u003c\\u0026\\u003e\\\"\\\\\\n\\u0001\",\"b\":null,\"c\":true}");
  EXPECT_EQ(JsonTextArray({"x", "y"}), "[\"x\",\"y\"]");
}

}  // namespace
}  // namespace tokenbroker::gitlab_sim
