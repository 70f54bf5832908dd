// A ledger that cannot be written: nothing that adds power happens, and what takes power away does.

#include <gtest/gtest.h>

#include "server/broker/broker_fixture.h"

namespace tokenbroker {
namespace {

using Fault = FaultyLedger::Fault;

class LedgerTroubleTest : public BrokerTest {
 protected:
  // A create whose POST takes a while, and meanwhile the ledger fails.
  absl::Status CreateWhileTheLedgerFails(Fault fault) {
    gitlab_.set_mint_takes(seconds(1));
    std::optional<absl::StatusOr<Created>> answer;
    broker_->scope().Spawn<absl::StatusOr<Created>>(
        broker_->Create({}, CallerNamed("ci"), UserToken()),
        [&answer](absl::StatusOr<Created> created) { answer = std::move(created); });
    EXPECT_TRUE(loop_.RunUntil([&] { return gitlab_.posts() == 1; }));
    faulty_->set_fault(fault);
    Pass(seconds(2));
    faulty_->set_fault(Fault::kNone);
    EXPECT_TRUE(answer.has_value());
    return answer->status();
  }
};

TEST_F(LedgerTroubleTest, NothingIsSentWithoutADurableIntent) {
  for (const Fault fault : {Fault::kBefore, Fault::kAfter}) {
    faulty_->set_fault(fault);
    const absl::Status status = Create(UserToken()).status();
    EXPECT_EQ(ReasonOf(status), "LEDGER_UNAVAILABLE") << status;
    EXPECT_TRUE(absl::IsUnavailable(status));
  }
  EXPECT_EQ(gitlab_.posts(), 0);
  faulty_->set_fault(Fault::kNone);
  EXPECT_TRUE(Create(UserToken()).ok());
}

TEST_F(LedgerTroubleTest, ASecretThatCannotBeRecordedIsNotHandedOut) {
  StartJobs();
  const absl::Status status = CreateWhileTheLedgerFails(Fault::kBefore);
  // Never UNAVAILABLE: stock retry policies would resend a POST that was sent.
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_EQ(ReasonOf(status), "UPSTREAM_OUTCOME_UNKNOWN");
  EXPECT_TRUE(gitlab_.live().empty());
  Pass(minutes(11));
  EXPECT_EQ(OnlyToken().state, TokenState::kAbandoned);
}

TEST_F(LedgerTroubleTest, ALostCommitOfAnActivationEndsInNoLiveToken) {
  StartJobs();
  const absl::Status status = CreateWhileTheLedgerFails(Fault::kAfter);
  EXPECT_EQ(ReasonOf(status), "UPSTREAM_OUTCOME_UNKNOWN");
  EXPECT_TRUE(gitlab_.live().empty());
  // The row is ACTIVE, without a token: the reconciler sees it.
  Pass(minutes(12));
  EXPECT_EQ(OnlyToken().state, TokenState::kRevoked);
  EXPECT_EQ(OnlyToken().revoke_reason, RevokeReason::kUpstream);
}

TEST_F(LedgerTroubleTest, ARevocationStillTakesPowerAwayButIsNotCalledDurable) {
  const absl::StatusOr<Created> created = Create(UserToken());
  ASSERT_TRUE(created.ok());
  faulty_->set_fault(Fault::kBefore);
  const absl::Status status = Revoke(created->token.id).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(ReasonOf(status), "REVOKED_UPSTREAM_NOT_RECORDED");
  EXPECT_TRUE(gitlab_.live().empty());

  faulty_->set_fault(Fault::kNone);
  const absl::StatusOr<Created> second = Create(UserToken());
  ASSERT_TRUE(second.ok());
  faulty_->set_fault(Fault::kBefore);
  gitlab_.set_down(true);
  EXPECT_EQ(ReasonOf(Revoke(second->token.id).status()), "NOT_REVOKED");
}

TEST_F(LedgerTroubleTest, AnExpiryIsDoneWhenTheLedgerIsBack) {
  StartJobs();
  CreateRequest request = UserToken();
  request.ttl = minutes(1);
  const absl::StatusOr<Created> created = Create(request);
  ASSERT_TRUE(created.ok());
  faulty_->set_fault(Fault::kBefore);
  Pass(minutes(3));
  EXPECT_EQ(StateOf(created->token.id), TokenState::kActive);
  faulty_->set_fault(Fault::kNone);
  Pass(seconds(3));
  EXPECT_EQ(StateOf(created->token.id), TokenState::kExpired);
  EXPECT_TRUE(gitlab_.live().empty());
}

}  // namespace
}  // namespace tokenbroker
