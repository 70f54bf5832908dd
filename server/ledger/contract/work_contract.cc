// The order of what is due, and looks that race with answers.

#include <algorithm>
#include <random>
#include <tuple>

#include "server/domain/expiry.h"
#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {
namespace {

TEST_P(LedgerContract, AStartTriesWhatWaitsForARetry) {
  const TokenId id = RevokingRow();
  ASSERT_EQ(Claim(), std::vector<TokenId>{id});
  ASSERT_EQ(Wait(ledger_->RecordAttempt(id, ledger_->Now() + hours(1), /*parked=*/true, "no")), absl::OkStatus());
  loop_.StepWall(-hours(2));  // While nobody runs.
  Reopen();
  EXPECT_EQ(Claim(), std::vector<TokenId>{id});
}

TEST_P(LedgerContract, AFailedSweepOfAPendingRowWaitsAndIsParkedUntilOneIsMade) {
  const TokenId id = PendingRow();
  loop_.Advance(kGiveUpAfter);
  ASSERT_EQ(Claim(), std::vector<TokenId>{id});
  ASSERT_EQ(Wait(ledger_->RecordAttempt(id, ledger_->Now() + hours(1), /*parked=*/true, "404")), absl::OkStatus());
  EXPECT_EQ(Shown(id), "PENDING");
  EXPECT_EQ(Wait(ledger_->Get(id))->attempts, 1);
  EXPECT_EQ(Wait(ledger_->Count())->parked, 1);
  loop_.Advance(hours(1) - seconds(1));
  EXPECT_TRUE(Claim().empty());
  loop_.Advance(seconds(1));
  EXPECT_EQ(Claim(), std::vector<TokenId>{id});

  ASSERT_EQ(Wait(ledger_->RecordLook(id, ledger_->Now(), {})).status(), absl::OkStatus());
  EXPECT_EQ(Shown(id), "ABANDONED");
  EXPECT_EQ(Wait(ledger_->Get(id))->attempts, 0);
  EXPECT_EQ(Wait(ledger_->Count())->parked, 0);
}

TEST_P(LedgerContract, AttemptsCountFromOneAgainWhenTheRowIsParked) {
  const TokenId id = RevokingRow();
  const auto attempts_after = [&](bool parked) {
    EXPECT_EQ(Wait(ledger_->RecordAttempt(id, ledger_->Now(), parked, "no")), absl::OkStatus());
    return Wait(ledger_->Get(id))->attempts;
  };
  EXPECT_EQ(attempts_after(false), 1);
  EXPECT_EQ(attempts_after(false), 2);
  EXPECT_EQ(attempts_after(true), 1);
  EXPECT_EQ(attempts_after(true), 2);
  EXPECT_EQ(attempts_after(false), 3);
}

TEST_P(LedgerContract, AFailedSweepOfAClosedRowWaitsAndParksNothing) {
  const TokenId id = PendingRow();
  loop_.Advance(kSendWindow + kSettle);
  ASSERT_EQ(Wait(ledger_->RecordLook(id, ledger_->Now(), {})).status(), absl::OkStatus());
  loop_.Advance(hours(1));
  ASSERT_EQ(Claim(), std::vector<TokenId>{id});
  ASSERT_EQ(Wait(ledger_->RecordAttempt(id, ledger_->Now() + hours(1), /*parked=*/true, "404")), absl::OkStatus());
  EXPECT_EQ(Wait(ledger_->Count())->parked, 0);
  EXPECT_TRUE(Claim().empty());
  loop_.Advance(hours(1));
  EXPECT_EQ(Claim(), std::vector<TokenId>{id});
}

TEST_P(LedgerContract, AnAttemptOfARowThatWaitsForNothingIsNotRecorded) {
  const TokenId active = ActiveRow();
  const absl::StatusOr<TokenRecord> before = Wait(ledger_->Get(active));
  ASSERT_EQ(Wait(ledger_->RecordAttempt(active, ledger_->Now(), /*parked=*/true, "no")), absl::OkStatus());
  EXPECT_EQ(Wait(ledger_->Get(active))->next_attempt_time, before->next_attempt_time);
  EXPECT_EQ(Wait(ledger_->Count())->parked, 0);
}

TEST_P(LedgerContract, NothingIsDueInAnEmptyLedger) {
  EXPECT_TRUE(Claim().empty());
  EXPECT_EQ(*Wait(ledger_->NextDue()), std::nullopt);
}

TEST_P(LedgerContract, AWallClockThatStepsBackRevivesNothing) {
  const TokenId id = ActiveRow("ci", minutes(5));
  loop_.Advance(minutes(5));
  ASSERT_EQ(Claim().size(), 1U);
  loop_.StepWall(-hours(3));
  EXPECT_EQ(Shown(id), "REVOKING TTL");
  ASSERT_EQ(Wait(ledger_->RecordDeath(id, Proof::kDeleted)).status(), absl::OkStatus());
  EXPECT_EQ(Shown(id), "EXPIRED TTL");
}

TEST_P(LedgerContract, WishesComeFirstThenExpiryThenOtherDeletionsThenLooks) {
  const TokenId looked_for = PendingRow();
  const TokenId other = RevokingRow(RevokeReason::kPolicy);
  const TokenId expiring = ActiveRow("ci", minutes(2));
  const TokenId expired = RevokingRow(RevokeReason::kTtl);
  const TokenId asked = ActiveRow();
  loop_.Advance(minutes(3));
  ASSERT_EQ(Wait(ledger_->RequestRevocation(asked, "ci")).status(), absl::OkStatus());
  EXPECT_EQ(Claim(), (std::vector<TokenId>{asked, expired, expiring, other, looked_for}));
}

TEST_P(LedgerContract, TheOldestOfEachCallerInTurn) {
  std::vector<TokenId> busy;
  for (int i = 0; i < 4; ++i) {
    busy.push_back(RevokingRow(RevokeReason::kPolicy, "busy"));
    loop_.Advance(seconds(1));
  }
  const TokenId first_of_quiet = RevokingRow(RevokeReason::kPolicy, "quiet");
  loop_.Advance(seconds(1));
  const TokenId second_of_quiet = RevokingRow(RevokeReason::kPolicy, "quiet");
  EXPECT_EQ(Claim(3), (std::vector<TokenId>{busy[0], first_of_quiet, busy[1]}));
  EXPECT_EQ(Claim(3), (std::vector<TokenId>{busy[2], second_of_quiet, busy[3]}));
}

// However much of one caller's is due, and however long already, it is one turn each.
TEST_P(LedgerContract, ABacklogOfOneHoldsUpNobody) {
  std::vector<TokenId> busy;
  for (int i = 0; i < 300; ++i) {
    busy.push_back(PendingRow("busy"));
    loop_.Advance(milliseconds(1));
  }
  const TokenId quiet = PendingRow("quiet");
  loop_.Advance(milliseconds(1));
  const TokenId calm = PendingRow("calm");
  loop_.Advance(kGiveUpAfter);
  EXPECT_EQ(Claim(4), (std::vector<TokenId>{busy[0], quiet, calm, busy[1]}));
}

TEST_P(LedgerContract, WhatIsDueIsListedWithoutAClaim) {
  std::vector<TokenId> expected;
  for (int i = 0; i < 5; ++i) expected.push_back(RevokingRow(RevokeReason::kRequested, i % 2 == 0 ? "ci" : "build"));
  const TokenId expiring = ActiveRow("ci", minutes(2));
  (void)ActiveRow("ci", hours(2));  // Not due.
  (void)PendingRow();               // A sweep is no deletion.
  const TokenId other = RevokingRow(RevokeReason::kPolicy);
  loop_.Advance(minutes(3));
  expected.insert(expected.end(), {expiring, other});
  for (int round = 0; round < 2; ++round) {
    std::vector<TokenId> listed;
    std::optional<DuePosition> after;
    do {
      const absl::StatusOr<DueList> page = Wait(ledger_->ListDue(after, 2));
      ASSERT_EQ(page.status(), absl::OkStatus());
      EXPECT_LE(page->rows.size(), 2U);
      for (const TokenRecord& row : page->rows) listed.push_back(row.token.id);
      after = page->next;
    } while (after.has_value());
    std::sort(listed.begin(), listed.begin() + 5);  // All of one instant.
    std::sort(expected.begin(), expected.begin() + 5);
    EXPECT_EQ(listed, expected);
  }
  EXPECT_EQ(Shown(expiring), "ACTIVE");
  EXPECT_EQ(Claim().size(), 8U);  // With the sweep.
  EXPECT_TRUE(Wait(ledger_->ListDue(std::nullopt, 10))->rows.empty());
}

// A row as the order sees it.
struct DueRow {
  int rank = 0;  // Of what is to be done: a wish, expiry, another deletion, a look.
  std::string owner;
  int age = 0;  // Counts up: the lower, the longer it has been due.
  TokenId id;
};

// The order in words: by rank, then in turn between owners, each with its oldest.
std::vector<TokenId> InOrder(std::vector<DueRow> rows) {
  std::sort(rows.begin(), rows.end(), [](const DueRow& a, const DueRow& b) { return a.age < b.age; });
  std::map<std::pair<int, std::string>, int> turns;
  std::vector<std::tuple<int, int, int, TokenId>> keyed;
  for (const DueRow& row : rows) keyed.emplace_back(row.rank, turns[{row.rank, row.owner}]++, row.age, row.id);
  std::sort(keyed.begin(), keyed.end());
  std::vector<TokenId> ids;
  for (const auto& key : keyed) ids.push_back(std::get<TokenId>(key));
  return ids;
}

TEST_P(LedgerContract, AnyMixtureIsClaimedInOrderAndOnce) {
  std::mt19937 dice(7);
  std::vector<DueRow> rows;
  for (int i = 0; i < 160; ++i) {
    DueRow row;
    row.rank = static_cast<int>(dice() % 4);
    row.owner = dice() % 2 == 0 ? "busy" : "caller" + std::to_string(dice() % 40);
    row.age = i;
    if (row.rank == 3) row.id = PendingRow(row.owner);
    if (row.rank == 2) row.id = RevokingRow(RevokeReason::kMismatch, row.owner);
    if (row.rank == 1) row.id = ActiveRow(row.owner, kGiveUpAfter);
    if (row.rank == 0) row.id = RevokingRow(RevokeReason::kRequested, row.owner);
    rows.push_back(row);
    loop_.Advance(milliseconds(1));
  }
  loop_.Advance(kGiveUpAfter);
  while (!rows.empty()) {
    std::vector<TokenId> expected = InOrder(rows);
    expected.resize(std::min<std::size_t>(expected.size(), 23));
    ASSERT_EQ(Claim(23), expected);
    std::erase_if(
        rows, [&](const DueRow& row) { return std::find(expected.begin(), expected.end(), row.id) != expected.end(); });
  }
  EXPECT_TRUE(Claim().empty());
}

TEST_P(LedgerContract, WhatIsOverdueAfterALongSleepComesOldestFirst) {
  const TokenId later = ActiveRow("ci", minutes(20));
  const TokenId sooner = ActiveRow("ci", minutes(10));
  Reopen();
  loop_.Advance(hours(5));
  EXPECT_EQ(Claim(), (std::vector<TokenId>{sooner, later}));
}

// The search began before the POST could have settled: whatever it missed, it proves nothing.
TEST_P(LedgerContract, ALookIsJudgedByItsBeginning) {
  const TokenId id = PendingRow();
  const WallTime settled = loop_.Now() + kSendWindow + kSettle;
  loop_.Advance(hours(2));
  ASSERT_EQ(Wait(ledger_->RecordLook(id, settled - Duration(1), {})).status(), absl::OkStatus());
  EXPECT_EQ(Shown(id), "PENDING");
  EXPECT_EQ(Row(id).next_attempt_time, settled);
  ASSERT_EQ(Wait(ledger_->RecordLook(id, settled, {})).status(), absl::OkStatus());
  EXPECT_EQ(Shown(id), "ABANDONED");
}

TEST_P(LedgerContract, AFailedLookIsDueAgainWhenItsClaimEnds) {
  const TokenId id = PendingRow();
  loop_.Advance(kGiveUpAfter);
  ASSERT_EQ(Claim(), std::vector<TokenId>{id});
  loop_.Advance(seconds(30));
  EXPECT_EQ(Claim(), std::vector<TokenId>{id});
}

TEST_P(LedgerContract, ALateLookOpensAnAbandonedRowAgain) {
  const TokenId id = PendingRow();
  loop_.Advance(kSendWindow + kSettle);
  EXPECT_TRUE(Look(id).empty());
  ASSERT_EQ(Shown(id), "ABANDONED");
  loop_.Advance(hours(1));
  EXPECT_EQ(Look(id, {Made()}), std::vector<TokenId>{id});
  EXPECT_EQ(Shown(id), "REVOKING ORPHAN");
}

TEST_P(LedgerContract, WhatHasARowAlreadyIsNotDoubled) {
  const TokenId known = ActiveRow();
  const TokenId id = PendingRow();
  loop_.Advance(kGiveUpAfter);
  EXPECT_TRUE(Look(id, {made_[known]}).empty());
  EXPECT_EQ(Shown(id), "PENDING");
  EXPECT_EQ(Shown(known), "ACTIVE");

  const MadeUpstream fresh = Made();
  EXPECT_EQ(Look(id, {made_[known], fresh}), std::vector<TokenId>{id});
  EXPECT_EQ(Row(id).token.upstream_id, fresh.id);
}

TEST_P(LedgerContract, TheSameUpstreamIdElsewhereIsAnotherToken) {
  const TokenId here = ActiveRow();
  IntentSpec spec = Spec();
  spec.token.target.instance = "elsewhere";
  const TokenId there = spec.token.id;
  ASSERT_EQ(Wait(ledger_->Begin(std::move(spec))).status(), absl::OkStatus());
  ASSERT_EQ(Wait(ledger_->Activate(there, made_[here], loop_.Now() + hours(1))).status(), absl::OkStatus());
  EXPECT_EQ(Shown(there), "ACTIVE");
}

// The answer came late and was recorded while a look was under way: the look knows of a second one.
TEST_P(LedgerContract, ALookThatComesSecondKeepsWhatTheFirstDidNotKnow) {
  const TokenId id = PendingRow();
  loop_.Advance(kGiveUpAfter);
  const MadeUpstream answered = Made();
  ASSERT_EQ(Wait(ledger_->Activate(id, answered, loop_.Now() + hours(1)))->state, TokenState::kRevoking);
  const MadeUpstream twin = Made();
  const std::vector<TokenId> rows = Look(id, {answered, twin});
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_NE(rows[0], id);
  EXPECT_EQ(Row(rows[0]).token.upstream_id, twin.id);
  EXPECT_EQ(Shown(rows[0]), "REVOKING ORPHAN");
  EXPECT_TRUE(Look(id, {answered, twin}).empty());
}

TEST_P(LedgerContract, AFlaggedRowThatIsFoundEndsAsTheCallerAsked) {
  const TokenId id = PendingRow();
  ASSERT_EQ(Wait(ledger_->RequestRevocation(id, "ci")).status(), absl::OkStatus());
  Reopen();
  EXPECT_EQ(Shown(id), "PENDING as REVOKING REQUESTED");
  loop_.Advance(kGiveUpAfter);
  EXPECT_EQ(Look(id, {Made()}), std::vector<TokenId>{id});
  EXPECT_EQ(Shown(id), "REVOKING REQUESTED");
}

TEST_P(LedgerContract, WhatALookHasFoundIsLookedForAgainWhenItIsDead) {
  const TokenId id = PendingRow();
  const WallTime created = loop_.Now();
  loop_.Advance(kGiveUpAfter);
  ASSERT_EQ(Claim(), std::vector<TokenId>{id});
  ASSERT_EQ(Wait(ledger_->RecordLook(id, loop_.Now(), {Made()}))->size(), 1U);
  ASSERT_EQ(Claim(), std::vector<TokenId>{id});
  ASSERT_EQ(Wait(ledger_->RecordDeath(id, Proof::kDeleted)).status(), absl::OkStatus());
  EXPECT_EQ(*Wait(ledger_->NextDue()), created + kSendWindow + kSettle);
  loop_.Advance(kSettle);
  ASSERT_EQ(Claim(), std::vector<TokenId>{id});
  // The POST had been carried out twice.
  const absl::StatusOr<std::vector<TokenId>> rows = Wait(ledger_->RecordLook(id, loop_.Now(), {Made()}));
  ASSERT_EQ(rows.status(), absl::OkStatus());
  ASSERT_EQ(rows->size(), 1U);
  EXPECT_EQ(Shown(id), "REVOKED ORPHAN");
  EXPECT_EQ(Shown(rows->front()), "REVOKING ORPHAN");
  EXPECT_EQ(Wait(ledger_->Get(id))->next_attempt_time, created + hours(1));
}

}  // namespace
}  // namespace tokenbroker
