// Facts from GitLab, strangers, and what a restored GitLab does to numbers.

#include <utility>

#include "server/base/error.h"
#include "server/domain/expiry.h"
#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {

SeenToken LedgerContract::Seen(const TokenId& id) { return {made_.at(id), id, std::nullopt}; }

SeenToken LedgerContract::Strange(const TokenId& marked) { return {Made(), marked, std::nullopt}; }

std::vector<Stranger> LedgerContract::Record(std::vector<SeenToken> seen, std::optional<WallTime> listed) {
  absl::StatusOr<std::vector<Stranger>> strangers =
      Wait(ledger_->RecordSeen("main", std::move(seen), listed.value_or(loop_.Now())));
  EXPECT_EQ(strangers.status(), absl::OkStatus());
  return strangers.ok() ? *std::move(strangers) : std::vector<Stranger>();
}

std::string LedgerContract::KindOf(SeenToken seen, std::optional<WallTime> listed) {
  const std::vector<Stranger> strangers = Record({std::move(seen)}, listed);
  return strangers.empty() ? "" : std::string(NameOf(strangers.front().kind));
}

std::vector<TokenId> LedgerContract::Unseen(WallTime since, int skip, int limit) {
  const absl::StatusOr<std::vector<TokenRecord>> rows = Wait(ledger_->ListUnseen(since, skip, limit));
  EXPECT_EQ(rows.status(), absl::OkStatus());
  std::vector<TokenId> ids;
  for (const TokenRecord& row : *rows) ids.push_back(row.token.id);
  return ids;
}

TEST_P(LedgerContract, ActiveAmongKnowsNumberAndName) {
  const Token active = Active();
  const Token revoking = Active();
  ASSERT_EQ(Wait(ledger_->RequestRevocation(revoking.id, "ci")).status(), absl::OkStatus());
  const auto made = [](const Token& token, const std::string& name) {
    return MadeUpstream{token.upstream_id, token.upstream_user_id, name, std::nullopt};
  };
  const absl::StatusOr<std::vector<std::int64_t>> found = Wait(ledger_->ActiveAmong(
      "main", {made(active, active.upstream_name), made(revoking, revoking.upstream_name), made(Token(), "unknown")}));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, std::vector<std::int64_t>{active.upstream_id});
  EXPECT_TRUE(Wait(ledger_->ActiveAmong("main", {made(active, "another")}))->empty());
  EXPECT_TRUE(Wait(ledger_->ActiveAmong("other", {made(active, active.upstream_name)}))->empty());
  EXPECT_TRUE(Wait(ledger_->ActiveAmong("main", {}))->empty());
}

TakeInSpec LedgerContract::SpecFor(const SeenToken& seen, bool revoke) {
  TakeInSpec spec;
  spec.token = Spec().token;
  spec.token.id = seen.marked;
  spec.token.create_time = loop_.Now();
  spec.token.expire_time = loop_.Now() + hours(1);
  spec.made = seen.upstream;
  spec.actor = "warden";
  spec.revoke = revoke;
  return spec;
}

absl::StatusOr<std::vector<Token>> LedgerContract::TakeIn(std::vector<TakeInSpec> specs) {
  return Wait(ledger_->TakeIn(std::move(specs)));
}

namespace {

TEST_P(LedgerContract, FactsAreWrittenIntoTheRowOfExactlyThisToken) {
  const TokenId id = ActiveRow();
  loop_.Advance(minutes(1));
  SeenToken seen = Seen(id);
  seen.last_used_time = loop_.Now() - seconds(5);
  EXPECT_EQ(KindOf(seen), "");
  EXPECT_EQ(Row(id).token.last_used_time, seen.last_used_time);
  EXPECT_EQ(Row(id).token.reconcile_time, loop_.Now());
  // A later look without it takes nothing back.
  loop_.Advance(minutes(1));
  EXPECT_EQ(KindOf(Seen(id)), "");
  EXPECT_EQ(Row(id).token.last_used_time, seen.last_used_time);
  EXPECT_EQ(Shown(id), "ACTIVE");
  // The same number under another name is another token.
  seen.upstream.name = "another";
  seen.marked = NewId();
  EXPECT_EQ(KindOf(seen), "NO_ROW");
}

TEST_P(LedgerContract, StrangersAreJudgedByTheRowOfTheirMarker) {
  const TokenId active = ActiveRow();
  const TokenId pending = PendingRow();
  const TokenId revoking = RevokingRow();
  const TokenId dead = RevokingRow();
  EXPECT_EQ(Wait(ledger_->RecordDeath(dead, Proof::kDeleted)).status(), absl::OkStatus());
  const TokenId abandoned = AbandonedRow();
  loop_.Advance(seconds(1));
  const std::vector<Stranger> strangers = Record({Seen(active), Strange(NewId()), Strange(active), Strange(pending),
                                                  Strange(revoking), Strange(dead), Strange(abandoned), Seen(dead)});
  std::vector<std::pair<std::size_t, StrangerKind>> found;
  for (const Stranger& each : strangers) found.emplace_back(each.index, each.kind);
  EXPECT_EQ(found, (std::vector<std::pair<std::size_t, StrangerKind>>{{1, StrangerKind::kNoRow},
                                                                      {2, StrangerKind::kSecond},
                                                                      {5, StrangerKind::kClosed},
                                                                      {6, StrangerKind::kAbandoned},
                                                                      {7, StrangerKind::kClosed}}));
  EXPECT_EQ(strangers[1].row->token.id, active);
  EXPECT_FALSE(strangers[0].row.has_value());
}

// The list was on its way while the token ended.
TEST_P(LedgerContract, WhatEndedSinceTheListWasAskedForIsNoStranger) {
  const TokenId id = RevokingRow();
  const WallTime listed = loop_.Now();
  loop_.Advance(seconds(1));
  ASSERT_EQ(Wait(ledger_->RecordDeath(id, Proof::kDeleted)).status(), absl::OkStatus());
  loop_.Advance(seconds(1));
  EXPECT_EQ(KindOf(Seen(id), listed), "");
  EXPECT_EQ(KindOf(Strange(id), listed), "");
  EXPECT_EQ(KindOf(Seen(id)), "CLOSED");
}

TEST_P(LedgerContract, WhatALookIsStillToFindIsNoStranger) {
  const TokenId id = PendingRow();
  loop_.Advance(kSendWindow + kSettle);
  EXPECT_TRUE(Look(id).empty());
  ASSERT_EQ(Shown(id), "ABANDONED");
  EXPECT_EQ(KindOf(Strange(id)), "");
  loop_.Advance(hours(25));
  EXPECT_TRUE(Look(id).empty());
  EXPECT_EQ(KindOf(Strange(id)), "ABANDONED");
}

TEST_P(LedgerContract, TheStalestUnseenRowsComeFirst) {
  const TokenId seen = ActiveRow();
  const TokenId never = ActiveRow();
  const TokenId stale = ActiveRow();
  (void)PendingRow();
  (void)RevokingRow();
  loop_.Advance(seconds(1));
  (void)Record({Seen(stale)});
  loop_.Advance(seconds(1));
  const WallTime since = loop_.Now();
  (void)Record({Seen(seen)});
  loop_.Advance(seconds(1));
  (void)ActiveRow();  // Younger than the walk.
  EXPECT_EQ(Unseen(since), (std::vector<TokenId>{never, stale}));
  EXPECT_EQ(Unseen(since, 1), std::vector<TokenId>{stale});
  EXPECT_EQ(Unseen(since, 0, 1), std::vector<TokenId>{never});
}

TEST_P(LedgerContract, AClockThatWasSetBackHidesNoUnseenRow) {
  const TokenId id = ActiveRow();
  loop_.Advance(seconds(1));
  loop_.StepWall(-hours(9));
  EXPECT_EQ(Unseen(loop_.Now()), std::vector<TokenId>{id});
  (void)Record({Seen(id)});
  EXPECT_TRUE(Unseen(loop_.Now()).empty());
}

TEST_P(LedgerContract, ActiveTargetsComeOnceEachInPages) {
  for (const std::int64_t id : {9, 7, 8, 7}) {
    IntentSpec spec = Spec();
    spec.token.target = {"main", TargetKind::kProject, id, "acme/p" + std::to_string(id)};
    const TokenId token = Begin(std::move(spec)).id;
    ASSERT_EQ(Wait(ledger_->Activate(token, Made(), loop_.Now() + hours(1))).status(), absl::OkStatus());
  }
  (void)PendingRow();
  std::vector<std::int64_t> ids;
  std::optional<ResolvedTarget> after;
  for (;;) {
    const absl::StatusOr<std::vector<ResolvedTarget>> page = Wait(ledger_->ActiveTargets(after, 2));
    ASSERT_EQ(page.status(), absl::OkStatus());
    for (const ResolvedTarget& target : *page) ids.push_back(target.id);
    if (page->size() < 2) break;
    after = page->back();
  }
  EXPECT_EQ(ids, (std::vector<std::int64_t>{7, 8, 9}));
}

TEST_P(LedgerContract, AStrayGetsARowOfItsOwnOnce) {
  const TokenId id = ActiveRow();
  const MadeUpstream stray = Made();
  ASSERT_EQ(Wait(ledger_->KeepStray(id, stray)), absl::OkStatus());
  ASSERT_EQ(Wait(ledger_->KeepStray(id, stray)), absl::OkStatus());
  EXPECT_EQ(Shown(id), "ACTIVE");
  const std::vector<TokenId> due = Claim();
  ASSERT_EQ(due.size(), 1U);
  EXPECT_EQ(Shown(due[0]), "REVOKING ORPHAN");
  EXPECT_EQ(Row(due[0]).token.upstream_id, stray.id);
}

TEST_P(LedgerContract, AdoptingMakesARowOfTheMarkersId) {
  const SeenToken seen = Strange(NewId());
  const absl::StatusOr<std::vector<Token>> taken = TakeIn({SpecFor(seen)});
  ASSERT_EQ(taken.status(), absl::OkStatus());
  ASSERT_EQ(taken->size(), 1U);
  EXPECT_EQ(taken->front().id, seen.marked);
  EXPECT_EQ(Shown(seen.marked), "ACTIVE");
  EXPECT_EQ(Row(seen.marked).token.upstream_id, seen.upstream.id);
  EXPECT_EQ(KindOf(seen), "");
  EXPECT_EQ(world_->EventsOf(seen.marked), std::vector<std::string>{"token.active"});
  // Once more changes nothing.
  EXPECT_EQ(TakeIn({SpecFor(seen)})->front().id, seen.marked);
  loop_.Advance(hours(1));
  EXPECT_EQ(Claim(), std::vector<TokenId>{seen.marked});
  EXPECT_EQ(Shown(seen.marked), "REVOKING TTL");
}

TEST_P(LedgerContract, AnAbandonedRowComesBackUnlessItsRevocationWasAskedFor) {
  const TokenId id = AbandonedRow();
  const absl::StatusOr<std::vector<Token>> back = TakeIn({SpecFor(Strange(id))});
  ASSERT_EQ(back.status(), absl::OkStatus());
  EXPECT_EQ(back->front().id, id);
  EXPECT_EQ(Shown(id), "ACTIVE");

  const TokenId unwanted = PendingRow();
  ASSERT_EQ(Wait(ledger_->RequestRevocation(unwanted, "ci")).status(), absl::OkStatus());
  ASSERT_EQ(Wait(ledger_->Abandon(unwanted, "x")), absl::OkStatus());
  ASSERT_EQ(TakeIn({SpecFor(Strange(unwanted))}).status(), absl::OkStatus());
  EXPECT_EQ(Shown(unwanted), "REVOKING REQUESTED");
}

TEST_P(LedgerContract, ASecondOneGetsAnIdOfItsOwn) {
  const TokenId id = ActiveRow();
  const absl::StatusOr<std::vector<Token>> taken = TakeIn({SpecFor(Strange(id))});
  ASSERT_EQ(taken.status(), absl::OkStatus());
  EXPECT_NE(taken->front().id, id);
  EXPECT_EQ(Shown(id), "ACTIVE");
  EXPECT_EQ(Shown(taken->front().id), "ACTIVE");
}

TEST_P(LedgerContract, ARevocationIsNeverTakenBackAndAllOrNoneIsTaken) {
  const TokenId dead = RevokingRow();
  ASSERT_EQ(Wait(ledger_->RecordDeath(dead, Proof::kDeleted)).status(), absl::OkStatus());
  const SeenToken fresh = Strange(NewId());
  for (const SeenToken& ended : {Seen(dead), Strange(dead), Strange(PendingRow())}) {
    const absl::StatusOr<std::vector<Token>> refused = TakeIn({SpecFor(fresh), SpecFor(ended)});
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(ReasonOf(refused.status()), "TOKEN_NOT_ADOPTABLE");
    EXPECT_EQ(KindOf(fresh), "NO_ROW");
  }
  // To revoke it once more is another matter.
  const absl::StatusOr<std::vector<Token>> taken = TakeIn({SpecFor(fresh, true), SpecFor(Seen(dead), true)});
  ASSERT_EQ(taken.status(), absl::OkStatus());
  EXPECT_EQ(Shown(fresh.marked), "REVOKING ORPHAN");
  EXPECT_NE(taken->at(1).id, dead);
  EXPECT_EQ(Shown(taken->at(1).id), "REVOKING ORPHAN");
  EXPECT_EQ(Shown(dead), "REVOKED POLICY");
}

// GitLab gives out 1000 again: whoever had it has nothing any more.
TEST_P(LedgerContract, ANumberThatIsGivenOutAgainClosesTheRowThatHadIt) {
  const auto activate = [&](std::int64_t upstream_id) {
    const Token token = Begin(Spec());
    const MadeUpstream made = {upstream_id, 500, token.upstream_name, DateOf(loop_.Now()) + std::chrono::days(2)};
    const absl::StatusOr<Token> active = Wait(ledger_->Activate(token.id, made, token.expire_time));
    EXPECT_EQ(active.status(), absl::OkStatus());
    return token.id;
  };
  const TokenId first = activate(77);
  const TokenId second = activate(77);
  EXPECT_EQ(Shown(first), "REVOKED UPSTREAM");
  EXPECT_EQ(Shown(second), "ACTIVE");
  ASSERT_EQ(Wait(ledger_->StartRevoking(second, RevokeReason::kTtl, std::nullopt)).status(), absl::OkStatus());
  const TokenId third = activate(77);
  EXPECT_EQ(Shown(second), "EXPIRED TTL");
  EXPECT_EQ(Shown(third), "ACTIVE");
}

TEST_P(LedgerContract, ALowerNumberAnHourLaterMeansThatGitLabWasRestored) {
  (void)ActiveRow();  // 1000
  (void)ActiveRow();
  next_upstream_id_ = 900;
  (void)ActiveRow();  // Numbers may come in any order for a while.
  EXPECT_FALSE(ledger_->UpstreamRestored());
  next_upstream_id_ = 1100;
  loop_.Advance(minutes(62));
  (void)ActiveRow();
  EXPECT_FALSE(ledger_->UpstreamRestored());
  Reopen();
  next_upstream_id_ = 950;
  const TokenId late = ActiveRow();
  EXPECT_EQ(Shown(late), "ACTIVE");
  EXPECT_TRUE(ledger_->UpstreamRestored());
  Reopen();
  EXPECT_TRUE(ledger_->UpstreamRestored());
}

TEST_P(LedgerContract, AHigherNumberIsAnHourOldOnlyOnceItsMinuteIs) {
  (void)ActiveRow();
  loop_.Advance(seconds(59));
  next_upstream_id_ = 2000;
  (void)ActiveRow();
  loop_.Advance(minutes(60) - seconds(1));
  next_upstream_id_ = 1500;  // Below one that is 59 min 59 s old.
  (void)ActiveRow();
  EXPECT_FALSE(ledger_->UpstreamRestored());
  loop_.Advance(minutes(2));
  next_upstream_id_ = 1600;
  (void)ActiveRow();
  EXPECT_TRUE(ledger_->UpstreamRestored());
}

}  // namespace
}  // namespace tokenbroker
