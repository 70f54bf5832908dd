// Begin and the steps of a token's life.

#include <algorithm>
#include <functional>
#include <utility>

#include "server/domain/expiry.h"
#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {
namespace {

TEST_P(LedgerContract, BeginWritesAllOfTheIntent) {
  IntentSpec spec = Spec();
  const Token asked = spec.token;
  const WallTime now = loop_.Now();
  const absl::StatusOr<DurableIntent> intent = Finish(ledger_->Begin(std::move(spec)));
  ASSERT_EQ(intent.status(), absl::OkStatus());
  EXPECT_EQ(intent->token().id, asked.id);
  EXPECT_EQ(intent->token().state, TokenState::kPending);
  EXPECT_EQ(intent->token().expire_time, now + hours(1));
  EXPECT_EQ(intent->committed(), loop_.Boot());

  const TokenRecord record = Get(asked.id);
  EXPECT_EQ(StateOf(record), "PENDING");
  EXPECT_TRUE(record.pending);
  EXPECT_EQ(record.give_up_time, now + kGiveUpAfter);
  EXPECT_EQ(record.next_attempt_time, NextLook(now, kSettle, std::nullopt));
  const Token& token = record.token;
  EXPECT_EQ(token.owner, asked.owner);
  EXPECT_EQ(token.display_name, asked.display_name);
  EXPECT_EQ(token.purpose, asked.purpose);
  EXPECT_EQ(token.target, asked.target);
  EXPECT_EQ(token.scopes, asked.scopes);
  EXPECT_EQ(token.access_level, asked.access_level);
  EXPECT_EQ(token.labels, asked.labels);
  EXPECT_EQ(token.upstream_name, asked.upstream_name);
  EXPECT_EQ(token.upstream_id, 0);
  EXPECT_EQ(token.create_time, now);
  EXPECT_EQ(token.expire_time, now + hours(1));
}

TEST_P(LedgerContract, BeginSaysWhyInTheAudit) {
  const TokenId id = Pending();
  const std::vector<RecordedEvent> events = EventsOf(id);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].kind, "token.pending");
  EXPECT_EQ(events[0].caller, "ci");
  for (const char* part : {"builders", "policy-7", "spiffe://test/ci", "read_repository", "acme/payments"}) {
    EXPECT_NE(events[0].body.find(part), std::string::npos) << part << " is not in " << events[0].body;
  }
}

TEST_P(LedgerContract, BeginTakesAnEndInTheFutureAlone) {
  IntentSpec spec = Spec();
  spec.ttl.reset();
  spec.expire_time = loop_.Now();
  const TokenId id = spec.token.id;
  const absl::Status now = Finish(ledger_->Begin(spec)).status();
  EXPECT_EQ(now.code(), absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(FieldsOf(now).size(), 1U);
  EXPECT_EQ(FieldsOf(now)[0].field, "token.expire_time");
  EXPECT_EQ(Finish(ledger_->Get(id)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(EventsOf(id).empty());

  spec.expire_time = loop_.Now() + Duration(1);
  EXPECT_EQ(Finish(ledger_->Begin(spec)).status(), absl::OkStatus());
  EXPECT_EQ(Get(id).token.expire_time, loop_.Now() + Duration(1));
}

TEST_P(LedgerContract, ActivateKeepsWhatGitLabMade) {
  const TokenId id = Pending();
  const MadeUpstream made = Made();
  const WallTime shortened = loop_.Now() + minutes(30);
  const absl::StatusOr<Token> token = Finish(ledger_->Activate(id, made, shortened));
  ASSERT_EQ(token.status(), absl::OkStatus());
  for (const Token& each : {*token, Get(id).token}) {
    EXPECT_EQ(each.state, TokenState::kActive);
    EXPECT_EQ(each.upstream_id, made.id);
    EXPECT_EQ(each.upstream_user_id, made.user_id);
    EXPECT_EQ(each.upstream_name, made.name);
    EXPECT_EQ(each.upstream_expire_date, made.expire_date);
    EXPECT_EQ(each.expire_time, shortened);
  }
  EXPECT_EQ(Get(id).next_attempt_time, shortened);
}

TEST_P(LedgerContract, ActivateNeverLengthensALife) {
  const TokenId id = Pending();
  const WallTime asked = Get(id).token.expire_time;
  EXPECT_EQ(Finish(ledger_->Activate(id, Made(), asked + hours(1)))->expire_time, asked);
  EXPECT_EQ(Get(id).next_attempt_time, asked);
}

TEST_P(LedgerContract, AnAnswerAtTheGiveUpTimeIsTooLate) {
  const TokenId in_time = Pending();
  const TokenId late = Pending();
  loop_.Advance(kGiveUpAfter - Duration(1));
  EXPECT_EQ(Finish(ledger_->Activate(in_time, Made(), loop_.Now() + hours(1)))->state, TokenState::kActive);
  loop_.Advance(Duration(1));
  const MadeUpstream made = Made();
  EXPECT_EQ(Finish(ledger_->Activate(late, made, loop_.Now() + hours(1)))->state, TokenState::kRevoking);
  EXPECT_EQ(StateOf(late), "REVOKING LATE_REPLY");
  EXPECT_EQ(Get(late).token.upstream_id, made.id);
  EXPECT_EQ(Get(late).next_attempt_time, loop_.Now());
}

TEST_P(LedgerContract, UpstreamIdIsSetOnce) {
  const TokenId id = Active();
  const std::int64_t first = made_[id].id;
  ASSERT_EQ(Finish(ledger_->StartRevoking(id, RevokeReason::kMismatch, Made())).status(), absl::OkStatus());
  EXPECT_EQ(Get(id).token.upstream_id, first);
}

// GitLab may have made two of one POST: whatever row it was for, what no row knows must not stay alive.
TEST_P(LedgerContract, AnotherTokenForARowThatEndsGetsARowOfItsOwn) {
  const TokenId id = Pending();
  loop_.Advance(kGiveUpAfter);
  const MadeUpstream first = Made();
  EXPECT_EQ(Look(id, {first}), std::vector<TokenId>{id});
  const MadeUpstream second = Made();
  const absl::StatusOr<Token> late = Finish(ledger_->Activate(id, second, loop_.Now() + hours(1)));
  ASSERT_EQ(late.status(), absl::OkStatus());
  EXPECT_EQ(late->state, TokenState::kRevoking);
  EXPECT_EQ(late->upstream_id, first.id);
  ASSERT_EQ(Finish(ledger_->StartRevoking(id, RevokeReason::kMismatch, Made())).status(), absl::OkStatus());
  ASSERT_EQ(Finish(ledger_->StartRevoking(id, RevokeReason::kMismatch, second)).status(), absl::OkStatus());

  std::vector<std::int64_t> upstream_ids;
  const std::vector<TokenId> due = Claim();
  ASSERT_EQ(due.size(), 3U);
  for (const TokenId& each : due) {
    EXPECT_EQ(StateOf(each), "REVOKING ORPHAN");
    upstream_ids.push_back(Get(each).token.upstream_id);
  }
  std::sort(upstream_ids.begin(), upstream_ids.end());
  EXPECT_EQ(upstream_ids, (std::vector<std::int64_t>{first.id, second.id, second.id + 1}));
}

TEST_P(LedgerContract, DeathIsTimedAndFinal) {
  const TokenId id = Revoking();
  loop_.Advance(seconds(3));
  const WallTime died = loop_.Now();
  ASSERT_EQ(Finish(ledger_->RecordDeath(id, Proof::kSeenRevoked))->state, TokenState::kRevoked);
  loop_.Advance(seconds(3));
  ASSERT_EQ(Finish(ledger_->RecordDeath(id, Proof::kDeleted)).status(), absl::OkStatus());
  EXPECT_EQ(Get(id).token.revoke_time, died);
  EXPECT_EQ(Get(id).next_attempt_time, std::nullopt);
  const std::vector<RecordedEvent> events = EventsOf(id);
  EXPECT_EQ(events.back().kind, "token.revoked");
  EXPECT_NE(events.back().body.find("SEEN_REVOKED"), std::string::npos);
}

TEST_P(LedgerContract, ParkingIsCountedAndEndsWithTheToken) {
  const TokenId id = Revoking();
  const WallTime next = loop_.Now() + minutes(5);
  ASSERT_EQ(Finish(ledger_->RecordAttempt(id, loop_.Now() + seconds(1), false, "GitLab is down")), absl::OkStatus());
  EXPECT_EQ(Finish(ledger_->Count())->parked, 0);
  ASSERT_EQ(Finish(ledger_->RecordAttempt(id, next, true, "404, and no proof")), absl::OkStatus());
  EXPECT_EQ(Get(id).attempts, 2);
  EXPECT_TRUE(Get(id).parked);
  EXPECT_EQ(Get(id).next_attempt_time, next);
  EXPECT_EQ(Finish(ledger_->Count())->parked, 1);
  ASSERT_EQ(Finish(ledger_->RecordDeath(id, Proof::kUpstreamMidnight)).status(), absl::OkStatus());
  EXPECT_EQ(Finish(ledger_->Count())->parked, 0);
}

TEST_P(LedgerContract, NoVerbKnowsATokenThatNeverWas) {
  const TokenId id = NewId();
  const auto expect_unknown = [](const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    EXPECT_EQ(ReasonOf(status), "");
  };
  expect_unknown(Finish(ledger_->Get(id)).status());
  expect_unknown(Finish(ledger_->Activate(id, Made(), loop_.Now() + hours(1))).status());
  expect_unknown(Finish(ledger_->Abandon(id, "no")));
  expect_unknown(Finish(ledger_->StartRevoking(id, RevokeReason::kPolicy, std::nullopt)).status());
  expect_unknown(Finish(ledger_->RequestRevocation(id, "ci")).status());
  expect_unknown(Finish(ledger_->RecordDeath(id, Proof::kDeleted)).status());
  expect_unknown(Finish(ledger_->RecordAttempt(id, loop_.Now(), false, "no")));
  expect_unknown(Finish(ledger_->RecordLook(id, loop_.Now(), {})).status());
}

}  // namespace
}  // namespace tokenbroker
