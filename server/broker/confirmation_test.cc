// What confirms that a token is revoked at GitLab, and what does not.

#include <gtest/gtest.h>

#include "server/broker/broker_fixture.h"

namespace tokenbroker {
namespace {

class ConfirmationTest : public BrokerTest {
 protected:
  Token Make(CreateRequest request, Duration ttl = hours(24)) {
    request.ttl = ttl;
    const absl::StatusOr<Created> created = Create(request);
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? created->token : Token();
  }
  bool IsLive(const Token& token) const {
    for (const UpstreamToken& each : gitlab_.live()) {
      if (each.id == token.upstream_id) return true;
    }
    return false;
  }
};

TEST_F(ConfirmationTest, A404OfALaggingReplicaRevokesNothing) {
  StartJobs();
  gitlab_.set_lag_by_id(minutes(5));
  const Token token = Make(UserToken());
  Pass(seconds(40));
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  EXPECT_TRUE(IsLive(token));
  Pass(minutes(4));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoking);
  Pass(minutes(1));  // The replica has caught up: the DELETE finds the token.
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  EXPECT_FALSE(IsLive(token));
}

TEST_F(ConfirmationTest, A404OfALaggingReplicaEndsNoActiveToken) {
  StartJobs();
  gitlab_.set_lag_by_id(minutes(5));
  gitlab_.set_list_lag(minutes(5));
  Pass(seconds(20));
  const Token token = Make(UserToken());
  Pass(minutes(3));  // A pass of the reconciler: neither a list nor a read by id shows the token.
  EXPECT_EQ(StateOf(token.id), TokenState::kActive);
  Pass(minutes(30));
  EXPECT_EQ(StateOf(token.id), TokenState::kActive);
}

TEST_F(ConfirmationTest, A404ConfirmsOnceTheTokenHasSettled) {
  StartJobs();
  const Token token = Make(UserToken());
  gitlab_.Forget(token.upstream_id);
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  Pass(token.create_time + settle_ - seconds(1) - loop_.Now());
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoking);
  Pass(seconds(20));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
}

// The ledger's clock follows its host's at a start, however wrong that is: by GitLab's clock the token is young.
TEST_F(ConfirmationTest, AStartWithAClockThatIsAheadMakesNoTokenOldEnough) {
  StartJobs();
  gitlab_.set_lag_by_id(minutes(5));
  const Token token = Make(UserToken());
  Stop();
  loop_.StepWall(hours(3));
  gitlab_.set_skew(-hours(3));  // GitLab's clock has not stepped.
  Open();
  StartJobs();
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  EXPECT_TRUE(IsLive(token));
  Pass(minutes(4));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoking);
  Pass(minutes(2));  // The replica has caught up.
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  EXPECT_FALSE(IsLive(token));
}

TEST_F(ConfirmationTest, AStartWithAClockThatIsAheadEndsNoActiveToken) {
  StartJobs();
  gitlab_.set_lag_by_id(minutes(5));
  gitlab_.set_list_lag(minutes(5));
  const Token token = Make(UserToken());
  Stop();
  loop_.StepWall(hours(3));
  gitlab_.set_skew(-hours(3));
  Open();
  StartJobs();
  Pass(minutes(3));  // A pass of the reconciler: neither a list nor a read by id shows the token.
  EXPECT_EQ(StateOf(token.id), TokenState::kActive);
}

// A host whose clock is slow at the start and set right a little later makes a young token look older than it is.
TEST_F(ConfirmationTest, AClockThatIsSetRightMakesNoTokenOldEnough) {
  gitlab_.set_skew(minutes(12));
  StartJobs();
  Pass(settle_, seconds(10));
  gitlab_.set_lag_by_id(minutes(5));
  const Token token = Make(UserToken());
  loop_.StepWall(minutes(12));
  gitlab_.set_skew(Duration(0));
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  EXPECT_TRUE(IsLive(token));
  Pass(minutes(6));  // The replica has caught up.
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  EXPECT_FALSE(IsLive(token));
}

// The first rejection after an outage is tried again soon.
TEST_F(ConfirmationTest, AnOutageDoesNotCountTowardsTheSlowInterval) {
  StartJobs();
  const Token token = Make(UserToken());
  gitlab_.set_down(true);
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  Pass(minutes(10));
  gitlab_.set_down(false);
  gitlab_.set_refuse_deletes(true);
  Pass(seconds(16));
  gitlab_.set_refuse_deletes(false);
  Pass(seconds(30));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
}

// The bot has left its project: the project's route answers 404, and the token is live.
TEST_F(ConfirmationTest, AProjectsRouteConfirmsNothingForAnAdministrator) {
  gitlab_.set_issuer_is_admin(false);
  StartJobs();
  const Token token = Make(ProjectToken());
  Pass(settle_);
  gitlab_.RemoveMember(token.upstream_id);
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  EXPECT_TRUE(IsLive(token));
  Pass(minutes(2));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoking);
  gitlab_.set_issuer_is_admin(true);
  Pass(hours(2));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  EXPECT_FALSE(IsLive(token));
}

// To the reconciler, too, the 404 of a project's route says nothing while the bot exists.
TEST_F(ConfirmationTest, ATokenWhoseBotLeftItsProjectStaysActive) {
  gitlab_.set_issuer_is_admin(false);
  StartJobs();
  const Token token = Make(ProjectToken());
  Pass(settle_, seconds(10));
  gitlab_.RemoveMember(token.upstream_id);
  Pass(minutes(30), seconds(10));
  EXPECT_EQ(StateOf(token.id), TokenState::kActive);
  EXPECT_TRUE(IsLive(token));
  gitlab_.Forget(token.upstream_id);  // Its bot user is gone as well.
  Pass(minutes(30), seconds(10));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
}

// A machine that was suspended wakes with a wrong clock while GitLab cannot be reached.
TEST_F(ConfirmationTest, AStepOfOurClockConfirmsNoMidnight) {
  StartJobs();
  const Token token = Make(UserToken());
  gitlab_.set_down(true);
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  loop_.StepWall(hours(24 * 10));
  gitlab_.set_skew(-hours(24 * 10));  // GitLab's clock has not stepped.
  Pass(hours(1));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoking);
  EXPECT_TRUE(IsLive(token));
}

// GitLab's midnight counts by a response of the last minute, not by one that was carried on for a day.
TEST_F(ConfirmationTest, AnOldResponseConfirmsNoMidnight) {
  StartJobs();
  const Token token = Make(UserToken(), hours(1));
  gitlab_.set_unmarked(true);  // From now on something in front of GitLab answers.
  gitlab_.set_refuse_deletes(true);
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  Pass(MidnightOf(*token.upstream_expire_date) + hours(3) - loop_.Now(), seconds(30));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoking);
  gitlab_.set_unmarked(false);
  Pass(hours(2), seconds(30));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
}

}  // namespace
}  // namespace tokenbroker
