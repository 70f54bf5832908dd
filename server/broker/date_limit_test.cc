// How late GitLab lets a token end, where the credential cannot read the instance's settings: learned from a rejection.

#include <gtest/gtest.h>

#include "server/broker/broker_fixture.h"

namespace tokenbroker {
namespace {

using std::chrono::days;

class DateLimitTest : public BrokerTest {
 protected:
  void SetUp() override {
    gitlab_.set_issuer_is_admin(false);
    gitlab_.set_max_lifetime_days(10);
    StartJobs();
  }
  WallTime LatestEnd() const { return MidnightOf(DateOf(loop_.Now()) + days(10)); }
  static CreateRequest EndingAt(WallTime expire_time) {
    CreateRequest request = ProjectToken();
    request.ttl.reset();
    request.expire_time = expire_time;
    return request;
  }
  static std::string MetaNamed(const absl::Status& status, const std::string& name) {
    for (const auto& [key, value] : MetaOf(status)) {
      if (key == name) return value;
    }
    return "";
  }
};

// GitLab would allow the ttl, but not the hour that the broker adds.
TEST_F(DateLimitTest, TheNextCreateKeepsToTheRejectedDatesLimit) {
  const CreateRequest request = EndingAt(LatestEnd() - minutes(30));
  const absl::Status rejected = Create(request).status();
  EXPECT_EQ(rejected.code(), absl::StatusCode::kInvalidArgument) << rejected;
  EXPECT_EQ(ReasonOf(rejected), "EXPIRATION_TOO_FAR");
  ASSERT_EQ(FieldsOf(rejected).size(), 1u);
  EXPECT_EQ(FieldsOf(rejected)[0].field, "token.expire_time");
  EXPECT_NE(std::string(rejected.message()).find("sent again"), std::string::npos) << rejected;
  EXPECT_EQ(MetaNamed(rejected, "max_expire_time"), FormatRfc3339(LatestEnd()));
  EXPECT_EQ(gitlab_.posts(), 1);  // Nothing is repeated without being asked for.
  EXPECT_TRUE(gitlab_.live().empty());
  EXPECT_EQ(OnlyToken().state, TokenState::kAbandoned);

  const absl::StatusOr<Created> created = Create(request);
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->token.expire_time, request.expire_time);
  EXPECT_EQ(MidnightOf(*created->token.upstream_expire_date), LatestEnd());
  EXPECT_EQ(gitlab_.posts(), 2);
}

TEST_F(DateLimitTest, TheErrorNamesTheLongestTtlThatWorks) {
  CreateRequest request = ProjectToken();
  request.ttl = hours(24 * 12);
  const absl::Status rejected = Create(request).status();
  EXPECT_EQ(ReasonOf(rejected), "EXPIRATION_TOO_FAR");
  EXPECT_EQ(FieldsOf(rejected)[0].field, "token.ttl");
  EXPECT_EQ(std::string(rejected.message()).find("sent again"), std::string::npos) << rejected;
  const std::optional<Duration> longest = ParseDuration(MetaNamed(rejected, "max_ttl"));
  ASSERT_TRUE(longest.has_value()) << rejected;
  EXPECT_GE(*longest, LatestEnd() - loop_.Now() - minutes(2));
  loop_.Advance(seconds(59));
  request.ttl = longest;
  const absl::StatusOr<Created> created = Create(request);
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->token.expire_time, created->token.create_time + *longest);
  EXPECT_EQ(gitlab_.posts(), 2);
}

// What GitLab has just rejected is not sent again, nor called good.
TEST_F(DateLimitTest, WhatWasRejectedIsRejectedWithoutGitLab) {
  CreateRequest request = ProjectToken();
  request.ttl = hours(24 * 12);
  EXPECT_EQ(ReasonOf(Create(request).status()), "EXPIRATION_TOO_FAR");
  EXPECT_EQ(ReasonOf(Create(request).status()), "EXPIRATION_TOO_FAR");
  request.validate_only = true;
  EXPECT_EQ(ReasonOf(Create(request).status()), "EXPIRATION_TOO_FAR");
  EXPECT_EQ(gitlab_.posts(), 1);
}

TEST_F(DateLimitTest, TheLimitMovesWithGitLabsDay) {
  EXPECT_FALSE(Create(EndingAt(LatestEnd() - minutes(30))).ok());
  loop_.Advance(days(3));
  EXPECT_TRUE(Create(EndingAt(LatestEnd() - minutes(30))).ok());
}

TEST_F(DateLimitTest, ARaisedLimitIsFoundOnTheNextDay) {
  CreateRequest request = ProjectToken();
  request.ttl = hours(24 * 12);
  EXPECT_FALSE(Create(request).ok());
  gitlab_.set_max_lifetime_days(365);
  loop_.Advance(days(1));
  EXPECT_TRUE(Create(request).ok());
}

TEST_F(DateLimitTest, ALoweredLimitIsFoundAtOnce) {
  EXPECT_FALSE(Create(EndingAt(LatestEnd() - minutes(30))).ok());
  gitlab_.set_max_lifetime_days(5);
  const absl::Status rejected = Create(EndingAt(LatestEnd() - minutes(30))).status();
  EXPECT_EQ(MetaNamed(rejected, "max_expire_time"), FormatRfc3339(LatestEnd() - days(5))) << rejected;
  EXPECT_TRUE(Create(EndingAt(LatestEnd() - days(5))).ok());
}

// A group may have a lower limit than the rest of GitLab: its rejection denies nobody else anything.
TEST_F(DateLimitTest, OneProjectsLimitDeniesNoOtherProjectsToken) {
  gitlab_.AddProject(8, "acme/billing");
  gitlab_.set_max_lifetime_days(5);
  CreateRequest request = ProjectToken();
  request.ttl = hours(24 * 9);
  EXPECT_FALSE(Create(request).ok());
  gitlab_.set_max_lifetime_days(10);
  request.target.ref = "acme/billing";
  EXPECT_TRUE(Create(request).ok());
}

// An administrator's settings are a day old at most; a rejection is newer.
TEST_F(DateLimitTest, ALimitThatWasLoweredSinceTheSettingsWereReadIsKept) {
  gitlab_.set_issuer_is_admin(true);
  Restart();
  StartJobs();
  const WallTime latest_end = LatestEnd() - days(5);
  gitlab_.set_max_lifetime_days(5);
  EXPECT_FALSE(Create(EndingAt(latest_end - minutes(30))).ok());
  EXPECT_TRUE(Create(EndingAt(latest_end - minutes(30))).ok());
  EXPECT_EQ(ReasonOf(Create(EndingAt(latest_end + minutes(1))).status()), "EXPIRATION_TOO_FAR");
  EXPECT_EQ(gitlab_.posts(), 2);
}

}  // namespace
}  // namespace tokenbroker
