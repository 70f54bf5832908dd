#include "server/domain/marker.h"

#include <gtest/gtest.h>

namespace tokenbroker {
namespace {

const TokenId kId = "01kawd6gr0abcdefghjkmnpqrs";

TEST(MarkerTest, BrokerNames) {
  for (const char* good : {"a1", "prod", "000000000000"}) EXPECT_TRUE(IsBrokerName(good)) << good;
  for (const char* bad : {"", "a", "0000000000000", "Prod", "a-b", "a b", "a:b", "\xc3\xa4\xc3\xb6"}) {
    EXPECT_FALSE(IsBrokerName(bad)) << bad;
  }
}

TEST(MarkerTest, StandsLastAndWithoutBlanks) {
  const std::string marker = MarkerOf("prod", kId);
  EXPECT_EQ(marker, "[tb:prod:01kawd6gr0abcdefghjkmnpqrs]");
  EXPECT_EQ(marker.find(' '), std::string::npos);
  EXPECT_TRUE(marker.starts_with(kMarkerStem));
  EXPECT_EQ(UpstreamNameOf("nightly build", "prod", kId), "nightly build " + marker);
}

TEST(MarkerTest, LongestNameFitsABotsName) {
  const std::string name = UpstreamNameOf(std::string(80, 'x'), std::string(12, 'b'), kId);
  EXPECT_LE(name.size(), 127u);
}

TEST(MarkerTest, EndsInExactlyThisMarker) {
  const std::string marker = MarkerOf("prod", kId);
  EXPECT_TRUE(EndsInMarker("x " + marker, marker));
  EXPECT_TRUE(EndsInMarker(marker, marker));
  EXPECT_FALSE(EndsInMarker("x " + marker + " ", marker));
  EXPECT_FALSE(EndsInMarker(marker + " x", marker));
  EXPECT_FALSE(EndsInMarker("x [tb:PROD:" + kId + "]", marker));
  EXPECT_FALSE(EndsInMarker("x " + MarkerOf("test", kId), marker));
  EXPECT_FALSE(EndsInMarker("x", marker));
  EXPECT_FALSE(EndsInMarker("", marker));
  EXPECT_FALSE(EndsInMarker("x", "")) << "no marker marks nothing";
}

TEST(MarkerTest, Description) {
  const WallTime end = FromMicros(1'764'000'000'999'999);
  EXPECT_EQ(UpstreamDescriptionOf("payments", end, "deploys"), "by=payments exp=1764000000 deploys");
  EXPECT_EQ(UpstreamDescriptionOf("payments", end, ""), "by=payments exp=1764000000");
  EXPECT_LE(UpstreamDescriptionOf(std::string(64, 'c'), end, std::string(120, 'p')).size(), 255u);
}

TEST(MarkerTest, TheIdIsReadFromAMarkerOfOurOwnAtTheEndAlone) {
  const std::string id = "06f3kxzzzzzzzzzzzzzzzzzzzz";
  EXPECT_EQ(IdInMarker("nightly [tb:tb1:" + id + "]", "tb1"), id);
  EXPECT_EQ(IdInMarker("a [tb:tb1:x] [tb:tb1:" + id + "]", "tb1"), id);
  EXPECT_EQ(IdInMarker("nightly [tb:tb1:" + id + "]", "tb2"), std::nullopt);
  EXPECT_EQ(IdInMarker("nightly [tb:tb1:" + id + "] ", "tb1"), std::nullopt);
  EXPECT_EQ(IdInMarker("nightly [tb:tb1:" + id + "] and more]", "tb1"), std::nullopt);
  EXPECT_EQ(IdInMarker("nightly [tb:tb1:short]", "tb1"), std::nullopt);
  EXPECT_EQ(IdInMarker("", "tb1"), std::nullopt);
  EXPECT_EQ(DisplayNameIn("nightly build [tb:tb1:" + id + "]"), "nightly build");
  EXPECT_EQ(DisplayNameIn("other"), "other");
}

TEST(MarkerTest, ADescriptionIsReadAsItIsWritten) {
  const WallTime end = FromMicros(1'800'000'000'000'000);
  for (const std::string purpose : {"", "scan", "exp=1 by=you"}) {
    const std::optional<UpstreamDescription> told = ParseUpstreamDescription(UpstreamDescriptionOf("ci", end, purpose));
    ASSERT_TRUE(told.has_value()) << purpose;
    EXPECT_EQ(told->caller, "ci");
    EXPECT_EQ(told->expire_time, end);
    EXPECT_EQ(told->purpose, purpose);
  }
  for (const char* other : {"", "by=ci", "by= exp=1", "by=ci exp=", "by=ci exp=x", "by=ci exp=1x", "by=ci exp=-1",
                            "by=ci exp=99999999999999", "a by=ci exp=1", "by=a b exp=1"}) {
    EXPECT_FALSE(ParseUpstreamDescription(other).has_value()) << other;
  }
}

}  // namespace
}  // namespace tokenbroker
