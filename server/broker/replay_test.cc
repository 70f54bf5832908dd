// Repeats of one request_id: never a second live token, never a secret twice, never the end of one in use.

#include <gtest/gtest.h>

#include "server/broker/broker_fixture.h"

namespace tokenbroker {
namespace {

class ReplayTest : public BrokerTest {
 protected:
  static CreateRequest Request() {
    CreateRequest request = UserToken();
    request.request_id = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    return request;
  }
};

TEST_F(ReplayTest, ALostAnswerIsReplaced) {
  StartJobs();
  const absl::StatusOr<Created> first = Create(Request());
  ASSERT_TRUE(first.ok()) << first.status();
  Restart();  // Across a restart as well.
  StartJobs();
  const absl::StatusOr<Created> second = Create(Request());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE(first->token.id, second->token.id);
  Pass(seconds(3));
  ASSERT_EQ(gitlab_.live().size(), 1u);
  EXPECT_EQ(gitlab_.live()[0].id, second->token.upstream_id);
  EXPECT_EQ(Get(first->token.id)->revoke_reason, RevokeReason::kSuperseded);
}

TEST_F(ReplayTest, ATokenInUseIsKept) {
  const absl::StatusOr<Created> first = Create(Request());
  ASSERT_TRUE(first.ok());
  gitlab_.Use(first->token.upstream_id);
  const absl::Status again = Create(Request()).status();
  EXPECT_EQ(again.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(again), "TOKEN_EXISTS");
  EXPECT_EQ(gitlab_.live().size(), 1u);
  EXPECT_EQ(gitlab_.posts(), 1);
}

TEST_F(ReplayTest, WhatCannotBeReadCountsAsUsed) {
  const absl::StatusOr<Created> first = Create(Request());
  ASSERT_TRUE(first.ok());
  gitlab_.Forget(first->token.upstream_id);
  EXPECT_EQ(ReasonOf(Create(Request()).status()), "TOKEN_EXISTS");
}

TEST_F(ReplayTest, AfterTenMinutesNothingIsReplaced) {
  ASSERT_TRUE(Create(Request()).ok());
  loop_.Advance(minutes(10) + seconds(1));
  EXPECT_EQ(ReasonOf(Create(Request()).status()), "TOKEN_EXISTS");
}

TEST_F(ReplayTest, AnUnknownOutcomeIsInProgressAndThenReplaced) {
  StartJobs();
  gitlab_.PlanNext(FakeGitLab::End::kLostAfter);
  EXPECT_EQ(ReasonOf(Create(Request()).status()), "UPSTREAM_OUTCOME_UNKNOWN");
  const absl::Status early = Create(Request()).status();
  EXPECT_EQ(ReasonOf(early), "CREATE_IN_PROGRESS");
  EXPECT_GT(RetryAfterOf(early).value_or(Duration(0)), seconds(60));
  Pass(seconds(91));
  const absl::StatusOr<Created> second = Create(Request());
  ASSERT_TRUE(second.ok()) << second.status();
  Pass(minutes(15));
  ASSERT_EQ(gitlab_.live().size(), 1u);
  EXPECT_EQ(gitlab_.live()[0].id, second->token.upstream_id);
}

TEST_F(ReplayTest, ARefusedOneMayBeTriedAgain) {
  gitlab_.PlanNext(FakeGitLab::End::kRefused);
  EXPECT_EQ(ReasonOf(Create(Request()).status()), "UPSTREAM_INVALID");
  EXPECT_TRUE(Create(Request()).ok());
}

TEST_F(ReplayTest, ARevokedTokenIsNotMadeAgain) {
  const absl::StatusOr<Created> first = Create(Request());
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(Revoke(first->token.id).ok());
  EXPECT_EQ(ReasonOf(Create(Request()).status()), "TOKEN_EXISTS");
}

TEST_F(ReplayTest, OtherParametersAreAnError) {
  ASSERT_TRUE(Create(Request()).ok());
  CreateRequest other = Request();
  other.display_name = "other";
  EXPECT_EQ(ReasonOf(Create(other).status()), "REQUEST_ID_REUSED");
  CreateRequest same = Request();
  std::swap(same.scopes[0], same.scopes[1]);  // The same set.
  EXPECT_NE(ReasonOf(Create(same).status()), "REQUEST_ID_REUSED");
}

TEST_F(ReplayTest, TheRecordIsKeptForADay) {
  CreateRequest request = Request();
  request.ttl = hours(48);
  ASSERT_TRUE(Create(request).ok());
  loop_.Advance(hours(24) + seconds(1));
  CreateRequest other = request;
  other.display_name = "other";
  EXPECT_TRUE(Create(other).ok());
}

}  // namespace
}  // namespace tokenbroker
