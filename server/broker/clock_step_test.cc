// The host's clock steps by hours: no token ends early or late, and nothing that waits stops waiting.

#include <gtest/gtest.h>

#include "server/base/agreed_clock.h"
#include "server/broker/broker_fixture.h"

namespace tokenbroker {
namespace {

// The broker lives by an AgreedClock, as in server/serve.cc; GitLab's own clock does not step.
class ClockStepTest : public BrokerTest {
 protected:
  ClockStepTest() : BrokerTest(/*agreed_clock=*/true) { StartJobs(); }

  void Step(Duration by) {
    loop_.StepWall(by);
    gitlab_.set_skew(gitlab_skew_ -= by);
  }
  Token Make(Duration ttl) {
    CreateRequest request = UserToken();
    request.ttl = ttl;
    const absl::StatusOr<Created> created = Create(request);
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? created->token : Token();
  }

  Duration gitlab_skew_{0};
};

TEST_F(ClockStepTest, SetBackByAnHourNoTokenLivesLonger) {
  const Token token = Make(minutes(10));
  Pass(minutes(1));
  Step(-hours(1));
  Pass(minutes(9) - seconds(1));
  EXPECT_EQ(StateOf(token.id), TokenState::kActive);
  Pass(seconds(3));
  EXPECT_EQ(StateOf(token.id), TokenState::kExpired);
  EXPECT_TRUE(gitlab_.live().empty());
}

TEST_F(ClockStepTest, SetForwardByAnHourNoTokenEndsEarly) {
  const Token token = Make(minutes(10));
  Pass(minutes(1));
  Step(hours(1));
  Pass(minutes(8));
  EXPECT_EQ(StateOf(token.id), TokenState::kActive);
  EXPECT_FALSE(ledger_->UpstreamRestored());
  Pass(minutes(1) + seconds(2));
  EXPECT_EQ(StateOf(token.id), TokenState::kExpired);
}

TEST_F(ClockStepTest, RetriesGoOnInEitherDirection) {
  for (const Duration step : {Duration(-hours(1)), Duration(hours(1))}) {
    const Token token = Make(hours(5));
    gitlab_.set_down(true);
    EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
    Step(step);
    Pass(seconds(30));
    gitlab_.set_down(false);
    Pass(seconds(20));
    EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  }
}

TEST_F(ClockStepTest, ALostResponseIsFoundAfterAStepForward) {
  gitlab_.PlanNext(FakeGitLab::End::kLostAfter);
  EXPECT_FALSE(Create(UserToken()).ok());
  Step(hours(1));
  Pass(seconds(95));
  EXPECT_TRUE(gitlab_.live().empty());
}

// The host was ten minutes ahead of GitLab, and is set right: what was written before does not wait ten minutes longer.
TEST_F(ClockStepTest, NothingWaitsForTheLengthOfAStepBackThatIsFollowed) {
  gitlab_.set_skew(gitlab_skew_ = -minutes(10));
  const Token kept = Make(hours(5));
  const Token token = Make(hours(5));
  gitlab_.PlanNext(FakeGitLab::End::kLostAfter);
  EXPECT_FALSE(Create(UserToken()).ok());
  gitlab_.set_down(true);
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  Pass(seconds(30));
  gitlab_.set_down(false);
  Step(-minutes(10));
  Pass(seconds(16));  // GitLab responds to what was held back.
  ASSERT_EQ(ledger_->Now(), loop_.Now());
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  Pass(seconds(95));
  EXPECT_EQ(gitlab_.live().size(), 1U);  // What the lost response had left is gone.
  EXPECT_EQ(StateOf(kept.id), TokenState::kActive);
}

TEST_F(ClockStepTest, AStepThatGitLabAgreesWithIsFollowed) {
  // The host was ten minutes behind GitLab.
  gitlab_.set_skew(gitlab_skew_ = minutes(10));
  (void)Make(hours(5));
  const WallTime before = ledger_->Now();
  Step(minutes(10));
  (void)Make(hours(5));  // GitLab responds.
  Pass(seconds(5));
  EXPECT_GE(ledger_->Now(), before + minutes(10));
  EXPECT_EQ(ledger_->Now(), loop_.Now());
}

}  // namespace
}  // namespace tokenbroker
