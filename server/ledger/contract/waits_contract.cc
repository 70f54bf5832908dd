// The ledger's clock goes back: what was written before waits no longer than it could have been made to wait now.

#include <algorithm>

#include "server/domain/expiry.h"
#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {
namespace {

constexpr Duration kStep = hours(5);
constexpr Duration kClaim = seconds(30);
constexpr Duration kSecondList = minutes(2);

bool Has(const std::vector<TokenId>& ids, const TokenId& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

TEST_P(LedgerContract, AfterAStepBackRevocationsAreTriedAtOnce) {
  std::vector<TokenId> ids;
  for (const RevokeReason reason : {RevokeReason::kRequested, RevokeReason::kTtl, RevokeReason::kPolicy}) {
    const TokenId parked = RevokingRow(reason);
    const TokenId claimed = RevokingRow(reason);
    ASSERT_EQ(Claim().size(), 2U);
    ASSERT_EQ(Wait(ledger_->RecordAttempt(parked, loop_.Now() + hours(1), /*parked=*/true, "403")), absl::OkStatus());
    ids.insert(ids.end(), {parked, claimed});
  }
  loop_.StepWall(-kStep);
  EXPECT_TRUE(Claim().empty());
  ASSERT_EQ(Wait(ledger_->BoundWaits()), absl::OkStatus());
  const std::vector<TokenId> due = Claim();
  for (const TokenId& id : ids) EXPECT_TRUE(Has(due, id)) << Shown(id);
}

// An intent of before: its own sweep, at the latest kGiveUpAfter from now, whether a claim holds it or not.
TEST_P(LedgerContract, AfterAStepBackSweepsComeNoLaterThanOfANewIntent) {
  const TokenId fresh = PendingRow();
  const TokenId claimed = PendingRow();
  loop_.Advance(kGiveUpAfter);
  ASSERT_EQ(Claim().size(), 2U);
  const TokenId failed = PendingRow();
  loop_.Advance(kGiveUpAfter);
  ASSERT_TRUE(Has(Claim(), failed));
  ASSERT_EQ(Wait(ledger_->RecordAttempt(failed, loop_.Now() + hours(1), /*parked=*/true, "404")), absl::OkStatus());
  const TokenId unswept = PendingRow();
  loop_.StepWall(-kStep);
  ASSERT_EQ(Wait(ledger_->BoundWaits()), absl::OkStatus());
  loop_.Advance(kGiveUpAfter);
  const std::vector<TokenId> due = Claim();
  for (const TokenId& id : {fresh, claimed, failed, unswept}) EXPECT_TRUE(Has(due, id)) << Shown(id);
  // Nobody waits for their responses any more: a repeat of the request is no longer told that it is in progress.
  for (const TokenId& id : {fresh, unswept}) EXPECT_LE(Row(id).give_up_time, loop_.Now());
}

TEST_P(LedgerContract, AfterAStepBackTheLaterSweepsOfAnAbandonedRowComeInTime) {
  const TokenId id = PendingRow();
  loop_.Advance(kSendWindow + kSettle);
  ASSERT_EQ(Claim(), std::vector<TokenId>{id});
  EXPECT_TRUE(Look(id).empty());
  ASSERT_EQ(Shown(id), "ABANDONED");
  loop_.StepWall(-kStep);
  ASSERT_EQ(Wait(ledger_->BoundWaits()), absl::OkStatus());
  loop_.Advance(hours(1));
  EXPECT_EQ(Claim(), std::vector<TokenId>{id});
}

// A descendant that was under way is listed two minutes after the end, neither at once nor hours later.
TEST_P(LedgerContract, AfterAStepBackTheSecondListOfDescendantsIsMade) {
  IntentSpec spec = Spec();
  spec.token.scopes = {"api"};
  const TokenId id = Begin(std::move(spec)).id;
  ASSERT_EQ(Wait(ledger_->Activate(id, Made(), loop_.Now() + hours(1))).status(), absl::OkStatus());
  ASSERT_EQ(Wait(ledger_->StartRevoking(id, RevokeReason::kPolicy, std::nullopt)).status(), absl::OkStatus());
  ASSERT_EQ(Wait(ledger_->RecordDeath(id, Proof::kDeleted)).status(), absl::OkStatus());
  loop_.StepWall(-kStep);
  ASSERT_EQ(Wait(ledger_->BoundWaits()), absl::OkStatus());
  loop_.Advance(kSecondList - Duration(1));
  EXPECT_TRUE(Claim().empty());
  loop_.Advance(Duration(1));
  EXPECT_EQ(Claim(), std::vector<TokenId>{id});
}

// Nothing is hastened that waits as it should, and no token ends before its time.
TEST_P(LedgerContract, WithoutAStepOnlyRetriesOfRevocationsComeEarlier) {
  const TokenId active = ActiveRow();
  const TokenId pending = PendingRow();
  loop_.Advance(kGiveUpAfter);
  ASSERT_EQ(Claim(), std::vector<TokenId>{pending});
  EXPECT_TRUE(Look(pending).empty());
  const TokenRecord active_before = Row(active);
  const TokenRecord pending_before = Row(pending);
  ASSERT_EQ(Wait(ledger_->BoundWaits()), absl::OkStatus());
  EXPECT_EQ(Row(active).next_attempt_time, active_before.next_attempt_time);
  EXPECT_EQ(Row(active).token.expire_time, active_before.token.expire_time);
  EXPECT_EQ(Row(pending).next_attempt_time, pending_before.next_attempt_time);
  EXPECT_EQ(Row(pending).give_up_time, pending_before.give_up_time);
  loop_.StepWall(-kStep);
  ASSERT_EQ(Wait(ledger_->BoundWaits()), absl::OkStatus());
  EXPECT_EQ(Row(active).token.expire_time, active_before.token.expire_time);
  EXPECT_EQ(Shown(active), "ACTIVE");
}

TEST_P(LedgerContract, AStartBoundsTheWaitsOfEveryState) {
  const TokenId pending = PendingRow();
  const TokenId revoking = RevokingRow();
  ASSERT_TRUE(Has(Claim(), revoking));
  loop_.StepWall(-kStep);  // While nobody runs.
  Reopen();
  loop_.Advance(std::max<Duration>(kGiveUpAfter, kClaim));
  const std::vector<TokenId> due = Claim();
  EXPECT_TRUE(Has(due, pending));
  EXPECT_TRUE(Has(due, revoking));
}

// Numbers of a moment ago are not an hour old because the clock says so: two 201 may come out of order.
TEST_P(LedgerContract, AStepForwardMakesNoRestoreOfGitLab) {
  const TokenId first = PendingRow();
  const TokenId second = PendingRow();
  const MadeUpstream lower = Made();
  const MadeUpstream higher = Made();
  ASSERT_EQ(Wait(ledger_->Activate(second, higher, loop_.Now() + hours(9))).status(), absl::OkStatus());
  loop_.StepWall(hours(2));
  ASSERT_EQ(Wait(ledger_->Activate(first, lower, loop_.Now() + hours(9))).status(), absl::OkStatus());
  EXPECT_FALSE(ledger_->UpstreamRestored());
}

}  // namespace
}  // namespace tokenbroker
