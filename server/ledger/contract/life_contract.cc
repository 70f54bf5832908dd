// What the steps of a token's life keep, and what they do with what has no row.

#include "server/base/error.h"
#include "server/domain/expiry.h"
#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {
namespace {

TEST_P(LedgerContract, HowTheOwnerWasRecognisedIsKept) {
  IntentSpec spec = Spec("team-blue");
  spec.token.owner_rule = "team-{team}";
  spec.token.owner_captures = {{"team", "blue"}, {"stage", "prod.eu"}};
  const Token pending = Begin(std::move(spec));
  Reopen();
  const absl::StatusOr<TokenRecord> record = Wait(ledger_->Get(pending.id));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->token.owner_rule, "team-{team}");
  EXPECT_EQ(record->token.owner_captures, pending.owner_captures);
  EXPECT_EQ(record->token.owner_captures.size(), 2u);
}

TEST_P(LedgerContract, ARevocationForThePolicySaysWhoAndWhy) {
  const Token token = Active();
  const absl::StatusOr<TokenRecord> revoking = Wait(ledger_->RevokeForPolicy(token.id, "warden", "no grant"));
  ASSERT_TRUE(revoking.ok()) << revoking.status();
  EXPECT_EQ(revoking->token.revoke_reason, RevokeReason::kPolicy);
  EXPECT_EQ(*Wait(ledger_->NextDue()), loop_.Now());
  const auto records = Wait(ledger_->ReadAudit({}));
  ASSERT_TRUE(records.ok());
  const AuditEvent &event = records->back().event;
  EXPECT_EQ(event.kind, "token.revoking");
  EXPECT_NE(event.body.find("\"actor\":\"callers/warden\",\"why\":\"no grant\""), std::string::npos) << event.body;
}

TEST_P(LedgerContract, ActivateKeepsWhatGitLabMade) {
  const TokenId id = PendingRow();
  const MadeUpstream made = Made();
  const WallTime shortened = loop_.Now() + minutes(30);
  const absl::StatusOr<Token> token = Wait(ledger_->Activate(id, made, shortened));
  ASSERT_EQ(token.status(), absl::OkStatus());
  for (const Token &each : {*token, Row(id).token}) {
    EXPECT_EQ(each.state, TokenState::kActive);
    EXPECT_EQ(each.upstream_id, made.id);
    EXPECT_EQ(each.upstream_user_id, made.user_id);
    EXPECT_EQ(each.upstream_name, made.name);
    EXPECT_EQ(each.upstream_expire_date, made.expire_date);
    EXPECT_EQ(each.expire_time, shortened);
  }
  EXPECT_EQ(Row(id).next_attempt_time, shortened);
}

TEST_P(LedgerContract, ActivateNeverLengthensALife) {
  const TokenId id = PendingRow();
  const WallTime asked = Row(id).token.expire_time;
  EXPECT_EQ(Wait(ledger_->Activate(id, Made(), asked + hours(1)))->expire_time, asked);
  EXPECT_EQ(Row(id).next_attempt_time, asked);
}

// GitLab may have made two of one POST: whatever row it was for, what no row
// knows must not stay alive.
TEST_P(LedgerContract, AnotherTokenForARowThatEndsGetsARowOfItsOwn) {
  const TokenId id = PendingRow();
  loop_.Advance(kGiveUpAfter);
  const MadeUpstream first = Made();
  ASSERT_EQ(Look(id, {first}), std::vector<TokenId>{id});
  ASSERT_EQ(Claim(), std::vector<TokenId>{id});
  const auto expect_new_row_for = [this](const MadeUpstream &made) {
    const std::vector<TokenId> due = Claim();
    ASSERT_EQ(due.size(), 1U);
    EXPECT_EQ(Row(due[0]).token.upstream_id, made.id);
    EXPECT_EQ(Shown(due[0]), "REVOKING ORPHAN");
  };

  const MadeUpstream second = Made();
  const absl::StatusOr<Token> late = Wait(ledger_->Activate(id, second, loop_.Now() + hours(1)));
  ASSERT_EQ(late.status(), absl::OkStatus());
  EXPECT_EQ(late->upstream_id, first.id);
  EXPECT_EQ(late->state, TokenState::kRevoking);
  expect_new_row_for(second);

  const MadeUpstream third = Made();
  ASSERT_EQ(Wait(ledger_->StartRevoking(id, RevokeReason::kMismatch, third)).status(), absl::OkStatus());
  expect_new_row_for(third);

  for (const MadeUpstream &known : {first, second, third}) {
    ASSERT_EQ(Wait(ledger_->Activate(id, known, loop_.Now() + hours(1))).status(), absl::OkStatus());
    ASSERT_EQ(Wait(ledger_->StartRevoking(id, RevokeReason::kMismatch, known)).status(), absl::OkStatus());
  }
  EXPECT_TRUE(Claim().empty());
}

TEST_P(LedgerContract, DeathIsTimedAndFinal) {
  const TokenId id = RevokingRow();
  loop_.Advance(seconds(3));
  const WallTime died = loop_.Now();
  ASSERT_EQ(Wait(ledger_->RecordDeath(id, Proof::kSeenRevoked))->state, TokenState::kRevoked);
  loop_.Advance(seconds(3));
  ASSERT_EQ(Wait(ledger_->RecordDeath(id, Proof::kDeleted)).status(), absl::OkStatus());
  EXPECT_EQ(Row(id).token.revoke_time, died);
  EXPECT_EQ(Row(id).next_attempt_time, std::nullopt);
  EXPECT_EQ(world_->EventsOf(id).back(), "token.revoked");
}

TEST_P(LedgerContract, NoVerbKnowsATokenThatNeverWas) {
  const TokenId id = MakeSortableId(loop_.Now(), random_);
  const auto expect_unknown = [](const absl::Status &status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    EXPECT_EQ(ReasonOf(status), "");
  };
  expect_unknown(Wait(ledger_->Get(id)).status());
  expect_unknown(Wait(ledger_->Activate(id, Made(), loop_.Now() + hours(1))).status());
  expect_unknown(Wait(ledger_->Abandon(id, "no")));
  expect_unknown(Wait(ledger_->StartRevoking(id, RevokeReason::kPolicy, std::nullopt)).status());
  expect_unknown(Wait(ledger_->RequestRevocation(id, "ci")).status());
  expect_unknown(Wait(ledger_->RecordDeath(id, Proof::kDeleted)).status());
  expect_unknown(Wait(ledger_->RecordAttempt(id, loop_.Now(), false, "no")));
  expect_unknown(Wait(ledger_->RecordLook(id, loop_.Now(), {})).status());
}

}  // namespace
}  // namespace tokenbroker
