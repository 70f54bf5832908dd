#include "tests/crash/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace tokenbroker {
namespace {

using gitlab_sim::TokenView;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

constexpr gitlab_sim::TimePoint kMade(hours(500'000));

// One token, made at kMade for an hour, in its caller's hands.
class CompareTest : public testing::Test {
 protected:
  CompareTest() {
    TokenView token;
    token.id = 7;
    token.name = "x [tb:test:abc]";
    token.secret = "s";
    token.created_at = kMade;
    token.live = true;
    v1::Token row;
    row.set_name("tokens/abc");
    row.set_state(v1::TOKEN_STATE_ACTIVE);
    row.mutable_upstream()->set_id(7);
    row.mutable_create_time()->set_seconds(std::chrono::floor<std::chrono::seconds>(kMade.time_since_epoch()).count());
    row.mutable_expire_time()->set_seconds(row.create_time().seconds() + 3600);
    Delivered delivered;
    delivered.name = "tokens/abc";
    delivered.secret = "s";
    delivered.request_id = "r";
    picture_ = {kMade + minutes(30), {token}, {row}, {delivered}};
  }

  TokenView& token() { return picture_.upstream.front(); }
  v1::Token& row() { return picture_.rows.front(); }
  Delivered& delivered() { return picture_.delivered.front(); }
  // What the look at `settle` or nobody at all has found.
  void Orphan(milliseconds applied_after) {
    picture_.delivered.clear();
    row().set_state(v1::TOKEN_STATE_ABANDONED);
    row().clear_upstream();
    token().created_at = kMade + applied_after;
  }

  Picture picture_;
};

TEST_F(CompareTest, WhatIsAsItShouldBeIsNoDifference) {
  for (const Moment moment : {Moment::kAny, Moment::kSettled, Moment::kQuiet}) {
    EXPECT_THAT(Differences(picture_, moment), IsEmpty());
  }
}

TEST_F(CompareTest, ALiveTokenWithoutARow) {
  picture_.rows.clear();
  picture_.delivered.clear();
  EXPECT_THAT(Differences(picture_, Moment::kAny), ElementsAre(StartsWith("I1")));
}

TEST_F(CompareTest, ALiveTokenWhoseRowIsClosed) {
  delivered().may_be_ended = true;
  for (const v1::TokenState state : {v1::TOKEN_STATE_REVOKED, v1::TOKEN_STATE_EXPIRED}) {
    row().set_state(state);
    EXPECT_THAT(Differences(picture_, Moment::kAny), ElementsAre(StartsWith("I2")));
  }
}

TEST_F(CompareTest, AnAcknowledgedRevocationThatIsForgotten) {
  delivered().may_be_ended = delivered().revoke_acknowledged = true;
  EXPECT_THAT(Differences(picture_, Moment::kAny), ElementsAre(StartsWith("I3")));
}

TEST_F(CompareTest, TwoActiveTokensOfOneRequest) {
  TokenView other = token();
  other.id = 8;
  other.name = "x [tb:test:def]";
  other.secret = "t";
  picture_.upstream.push_back(other);
  v1::Token other_row = row();
  other_row.set_name("tokens/def");
  other_row.mutable_upstream()->set_id(8);
  picture_.rows.push_back(other_row);
  Delivered second = delivered();
  second.name = "tokens/def";
  second.secret = "t";
  picture_.delivered.push_back(second);
  EXPECT_THAT(Differences(picture_, Moment::kAny), ElementsAre(StartsWith("two tokens of one request_id")));
}

TEST_F(CompareTest, ADeliveredTokenThatDiesBeforeItsTime) {
  token().live = false;
  row().set_state(v1::TOKEN_STATE_REVOKING);
  EXPECT_THAT(Differences(picture_, Moment::kAny), ElementsAre(StartsWith("ended, though nobody asked")));
  picture_.now = kMade + minutes(60);
  EXPECT_THAT(Differences(picture_, Moment::kAny), IsEmpty());
}

TEST_F(CompareTest, ASecretThatIsNotTheRows) {
  delivered().secret = "another";
  EXPECT_THAT(Differences(picture_, Moment::kAny), ElementsAre(StartsWith("the delivered secret")));
}

TEST_F(CompareTest, AnOrphanIsOneOnlyIfItWasAppliedWithinSettle) {
  Orphan(minutes(5));
  EXPECT_THAT(Differences(picture_, Moment::kAny), IsEmpty());
  EXPECT_THAT(Differences(picture_, Moment::kSettled), ElementsAre(StartsWith("an orphan outlived")));
  Orphan(hours(2));
  EXPECT_THAT(Differences(picture_, Moment::kSettled), IsEmpty());
  EXPECT_THAT(Differences(picture_, Moment::kQuiet), ElementsAre(StartsWith("I1: in quiet")));
}

TEST_F(CompareTest, InQuietWhatLivesIsWhatIsActiveAndNothingIsUnderWay) {
  delivered().may_be_ended = true;
  row().set_state(v1::TOKEN_STATE_REVOKING);
  EXPECT_THAT(Differences(picture_, Moment::kSettled), IsEmpty());
  EXPECT_THAT(Differences(picture_, Moment::kQuiet), ElementsAre(StartsWith("I4"), StartsWith("not brought to its")));
  token().live = false;
  row().set_state(v1::TOKEN_STATE_ACTIVE);
  EXPECT_THAT(Differences(picture_, Moment::kQuiet), ElementsAre(StartsWith("I4: ACTIVE, but dead")));
}

TEST_F(CompareTest, WhatAHolderMadeOfItsTokenBelongsToTheRow) {
  delivered().may_be_ended = true;
  TokenView descendant = token();
  descendant.id = 9;
  descendant.previous_id = 8;
  descendant.secret = "u";
  TokenView between = token();
  between.id = 8;
  between.previous_id = 7;
  between.secret = "t";
  between.live = token().live = false;
  picture_.upstream = {token(), between, descendant};
  for (const Moment moment : {Moment::kAny, Moment::kSettled, Moment::kQuiet}) {
    EXPECT_THAT(Differences(picture_, moment), IsEmpty());
  }
  row().set_state(v1::TOKEN_STATE_REVOKED);
  EXPECT_THAT(Differences(picture_, Moment::kAny), ElementsAre(StartsWith("I2: a descendant is alive")));
}

TEST_F(CompareTest, TimesAreComparedByOneClock) {
  picture_.clock_difference = minutes(10);
  token().live = false;
  row().set_state(v1::TOKEN_STATE_REVOKING);
  picture_.now = kMade + minutes(65);
  EXPECT_THAT(Differences(picture_, Moment::kAny), ElementsAre(StartsWith("ended, though nobody asked")));
  picture_.now = kMade + minutes(70);
  EXPECT_THAT(Differences(picture_, Moment::kAny), IsEmpty());
}

}  // namespace
}  // namespace tokenbroker
