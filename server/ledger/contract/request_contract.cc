// One request, at most one token: the repeats that race, come early or come late.

#include <utility>

#include "server/base/error.h"
#include "server/domain/expiry.h"
#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {
namespace {

const RequestKey kKey = {"0b9b51f5-2c3a-4a06-9c71-6f7f3c0d7f10", "digest-1"};
const RequestKey kOtherDigest = {kKey.request_id, "digest-2"};

IntentSpec WithKey(IntentSpec spec, std::optional<TokenId> replaces = std::nullopt, const RequestKey& key = kKey) {
  spec.request = key;
  spec.replaces = std::move(replaces);
  return spec;
}

TEST_P(LedgerContract, OfTwoThatReplaceOneTokenOneWins) {
  IntentSpec first = WithKey(Spec());
  const TokenId old = first.token.id;
  ASSERT_EQ(Wait(ledger_->Begin(std::move(first))).status(), absl::OkStatus());
  ASSERT_EQ(Wait(ledger_->Abandon(old, "GitLab said 400")), absl::OkStatus());

  IntentSpec winner = WithKey(Spec(), old);
  const TokenId won = winner.token.id;
  IntentSpec loser = WithKey(Spec(), old);
  const TokenId lost = loser.token.id;
  ASSERT_EQ(Wait(ledger_->Begin(std::move(winner))).status(), absl::OkStatus());
  const absl::Status refused = Wait(ledger_->Begin(std::move(loser))).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(refused), "CREATE_IN_PROGRESS");
  EXPECT_NE(RetryAfterOf(refused), std::nullopt);
  EXPECT_EQ(Wait(ledger_->Get(lost)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ((*Wait(ledger_->FindRequest("ci", kKey)))->current.token.id, won);
}

// If the new intent cannot be, the old token must not be gone.
TEST_P(LedgerContract, ABeginThatFailsSupersedesNothing) {
  IntentSpec first = WithKey(Spec());
  const TokenId old = first.token.id;
  ASSERT_EQ(Wait(ledger_->Begin(std::move(first))).status(), absl::OkStatus());
  ASSERT_EQ(Wait(ledger_->Activate(old, Made(), loop_.Now() + hours(1))).status(), absl::OkStatus());
  IntentSpec second = WithKey(Spec(), old);
  second.token.id = old;  // An id that exists already.
  EXPECT_FALSE(Wait(ledger_->Begin(std::move(second))).ok());
  EXPECT_EQ(Shown(old), "ACTIVE");
  EXPECT_EQ((*Wait(ledger_->FindRequest("ci", kKey)))->current.token.id, old);
}

TEST_P(LedgerContract, WhatIsStillUnderWayIsNotReplaced) {
  IntentSpec first = WithKey(Spec());
  const TokenId old = first.token.id;
  ASSERT_EQ(Wait(ledger_->Begin(std::move(first))).status(), absl::OkStatus());
  loop_.Advance(kGiveUpAfter - seconds(2));
  const absl::Status refused = Wait(ledger_->Begin(WithKey(Spec(), old))).status();
  EXPECT_EQ(ReasonOf(refused), "CREATE_IN_PROGRESS");
  EXPECT_EQ(RetryAfterOf(refused), seconds(2));
}

// At most one token of a request is ACTIVE, whatever the wall clock does between the attempts.
TEST_P(LedgerContract, TheReplacedOneNeverComesToLife) {
  IntentSpec first = WithKey(Spec());
  const TokenId old = first.token.id;
  ASSERT_EQ(Wait(ledger_->Begin(std::move(first))).status(), absl::OkStatus());
  loop_.Advance(kGiveUpAfter);
  IntentSpec second = WithKey(Spec(), old);
  const TokenId now = second.token.id;
  ASSERT_EQ(Wait(ledger_->Begin(std::move(second))).status(), absl::OkStatus());
  loop_.StepWall(-hours(2));
  ASSERT_EQ(Wait(ledger_->Activate(old, Made(), loop_.Now() + hours(1))).status(), absl::OkStatus());
  ASSERT_EQ(Wait(ledger_->Activate(now, Made(), loop_.Now() + hours(1))).status(), absl::OkStatus());
  EXPECT_EQ(Shown(old), "REVOKING LATE_REPLY");
  EXPECT_EQ(Shown(now), "ACTIVE");
}

TEST_P(LedgerContract, AReplacementAndTheReplacedTokenNameEachOther) {
  IntentSpec first = WithKey(Spec());
  const TokenId old = first.token.id;
  ASSERT_EQ(Wait(ledger_->Begin(std::move(first))).status(), absl::OkStatus());
  ASSERT_EQ(Wait(ledger_->Activate(old, Made(), loop_.Now() + hours(1))).status(), absl::OkStatus());
  EXPECT_EQ(Wait(ledger_->Get(old))->token.predecessor, "");
  EXPECT_EQ(Wait(ledger_->Get(old))->token.successor, "");
  IntentSpec second = WithKey(Spec(), old);
  const TokenId now = second.token.id;
  const absl::StatusOr<DurableIntent> begun = Wait(ledger_->Begin(std::move(second)));
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_EQ(begun->token().predecessor, old);
  EXPECT_EQ(Wait(ledger_->Get(now))->token.predecessor, old);
  EXPECT_EQ(Wait(ledger_->Get(now))->token.successor, "");
  EXPECT_EQ(Wait(ledger_->Get(old))->token.predecessor, "");
  EXPECT_EQ(Wait(ledger_->Get(old))->token.successor, now);
  EXPECT_EQ(Shown(old), "REVOKING SUPERSEDED");
}

TEST_P(LedgerContract, TheReplacedOneKeepsItsLooks) {
  IntentSpec first = WithKey(Spec());
  const TokenId old = first.token.id;
  ASSERT_EQ(Wait(ledger_->Begin(std::move(first))).status(), absl::OkStatus());
  loop_.Advance(kGiveUpAfter);
  ASSERT_EQ(Wait(ledger_->Begin(WithKey(Spec(), old))).status(), absl::OkStatus());
  EXPECT_EQ(Claim(), std::vector<TokenId>{old});
}

TEST_P(LedgerContract, RecordsAreKeptForADayFromTheFirstAttempt) {
  IntentSpec first = WithKey(Spec());
  const TokenId old = first.token.id;
  ASSERT_EQ(Wait(ledger_->Begin(std::move(first))).status(), absl::OkStatus());
  loop_.Advance(hours(24));
  EXPECT_TRUE(Wait(ledger_->FindRequest("ci", kKey))->has_value());
  loop_.Advance(Duration(1));
  EXPECT_FALSE(Wait(ledger_->FindRequest("ci", kKey))->has_value());
  EXPECT_FALSE(Wait(ledger_->FindRequest("ci", kOtherDigest))->has_value());
  // And the key is free again, for other parameters too.
  EXPECT_EQ(Wait(ledger_->Begin(WithKey(Spec(), std::nullopt, kOtherDigest))).status(), absl::OkStatus());
  EXPECT_EQ(Shown(old), "PENDING");
}

}  // namespace
}  // namespace tokenbroker
