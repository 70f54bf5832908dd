#include "server/ledger/contract/ledger_contract.h"

#include <algorithm>
#include <utility>

#include "server/base/error.h"
#include "server/domain/expiry.h"
#include "server/domain/marker.h"

namespace tokenbroker {

void LedgerContract::SetUp() {
  world_ = GetParam().make();
  Reopen();
}

// Whatever a test did, the audit must be whole after it, and the counters right.
void LedgerContract::TearDown() {
  ledger_.reset();
  const absl::Status audit = world_->VerifyAudit();
  EXPECT_TRUE(audit.ok()) << audit;
  EXPECT_EQ(world_->VerifyQuotas(), absl::OkStatus());
}

void LedgerContract::Reopen() {
  ledger_.reset();
  absl::StatusOr<std::unique_ptr<Ledger>> ledger = world_->Open(loop_, random_, metrics_, kSettle);
  ASSERT_TRUE(ledger.ok()) << ledger.status();
  ledger_ = *std::move(ledger);
}

IntentSpec LedgerContract::Spec(const std::string& owner, Duration ttl) {
  IntentSpec spec;
  spec.token.id = MakeSortableId(loop_.Now(), random_);
  spec.token.owner = owner;
  spec.token.display_name = "a \"token\"";
  spec.token.purpose = "scan";
  spec.token.target = {"main", TargetKind::kProject, 7, "acme/payments"};
  spec.token.scopes = {"read_api", "read_repository"};
  spec.token.access_level = 20;
  spec.token.labels = {{"team", "payments & co"}, {"empty", ""}};
  spec.token.upstream_name = UpstreamNameOf(spec.token.display_name, "tb1", spec.token.id);
  spec.ttl = ttl;
  spec.grounds = {"role", "policy"};
  return spec;
}

Token LedgerContract::Begin(IntentSpec spec) {
  const absl::StatusOr<DurableIntent> intent = Wait(ledger_->Begin(std::move(spec)));
  EXPECT_TRUE(intent.ok()) << intent.status();
  return intent.ok() ? intent->token() : Token();
}

MadeUpstream LedgerContract::Made() {
  const std::int64_t id = next_upstream_id_++;
  return {id, 500 + id, "name", DateOf(loop_.Now()) + std::chrono::days(2)};
}

Token LedgerContract::Active(const std::string& owner, Duration ttl) {
  const Token pending = Begin(Spec(owner, ttl));
  const absl::StatusOr<Token> active = Wait(ledger_->Activate(pending.id, Made(), pending.expire_time));
  EXPECT_TRUE(active.ok()) << active.status();
  EXPECT_EQ(active->state, TokenState::kActive);
  return *active;
}

std::vector<TokenId> LedgerContract::Claim(int limit) {
  const absl::StatusOr<std::vector<TokenRecord>> claimed = Wait(ledger_->ClaimDue(limit));
  EXPECT_TRUE(claimed.ok()) << claimed.status();
  std::vector<TokenId> ids;
  for (const TokenRecord& record : *claimed) ids.push_back(record.token.id);
  return ids;
}

TEST_P(LedgerContract, AnIntentIsAllThatWasAskedForAndOutlivesTheProcess) {
  const IntentSpec spec = Spec();
  const Token begun = Begin(spec);
  EXPECT_EQ(begun.create_time, loop_.Now());
  EXPECT_EQ(begun.expire_time, loop_.Now() + hours(1));
  Reopen();
  const absl::StatusOr<TokenRecord> record = Wait(ledger_->Get(spec.token.id));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_TRUE(record->pending);
  EXPECT_EQ(record->give_up_time, begun.create_time + kGiveUpAfter);
  const Token& token = record->token;
  EXPECT_EQ(token.owner, "ci");
  EXPECT_EQ(token.display_name, spec.token.display_name);
  EXPECT_EQ(token.purpose, "scan");
  EXPECT_EQ(token.target, spec.token.target);
  EXPECT_EQ(token.scopes, spec.token.scopes);
  EXPECT_EQ(token.access_level, 20);
  EXPECT_EQ(token.labels, spec.token.labels);
  EXPECT_EQ(token.upstream_name, spec.token.upstream_name);
  EXPECT_EQ(token.upstream_id, 0);
}

TEST_P(LedgerContract, AnEndThatHasPassedIsRefusedAndNothingIsWritten) {
  IntentSpec spec = Spec();
  spec.ttl.reset();
  spec.expire_time = loop_.Now();
  const TokenId id = spec.token.id;
  EXPECT_EQ(ReasonOf(Wait(ledger_->Begin(std::move(spec))).status()), "FIELD_INVALID");
  EXPECT_TRUE(absl::IsNotFound(Wait(ledger_->Get(id)).status()));
}

TEST_P(LedgerContract, ActivationIsInTimeOrARevocation) {
  const Token in_time = Begin(Spec());
  loop_.StepWall(kGiveUpAfter - Duration(1));
  EXPECT_EQ(Wait(ledger_->Activate(in_time.id, Made(), in_time.expire_time))->state, TokenState::kActive);

  const Token late = Begin(Spec());
  loop_.StepWall(kGiveUpAfter);
  const absl::StatusOr<Token> revoking = Wait(ledger_->Activate(late.id, Made(), late.expire_time));
  EXPECT_EQ(revoking->state, TokenState::kRevoking);
  EXPECT_EQ(revoking->revoke_reason, RevokeReason::kLateReply);
  EXPECT_NE(revoking->upstream_id, 0);  // What is known of it is kept.
}

TEST_P(LedgerContract, AShortenedEndIsKept) {
  const Token pending = Begin(Spec());
  const WallTime shorter = loop_.Now() + minutes(20);
  EXPECT_EQ(Wait(ledger_->Activate(pending.id, Made(), shorter))->expire_time, shorter);
  EXPECT_EQ(*Wait(ledger_->NextDue()), shorter);
}

TEST_P(LedgerContract, AWishToRevokeWinsOverALaterAnswer) {
  const Token pending = Begin(Spec());
  const absl::StatusOr<TokenRecord> flagged = Wait(ledger_->RequestRevocation(pending.id, "ci"));
  ASSERT_TRUE(flagged.ok());
  EXPECT_TRUE(flagged->pending);
  EXPECT_EQ(flagged->token.state, TokenState::kRevoking);
  Reopen();
  EXPECT_EQ(StateOf(pending.id), TokenState::kRevoking);
  const absl::StatusOr<Token> end = Wait(ledger_->Activate(pending.id, Made(), pending.expire_time));
  EXPECT_EQ(end->state, TokenState::kRevoking);
  EXPECT_EQ(end->revoke_reason, RevokeReason::kRequested);
}

// Every verb on a row in every state: where it may lead, and that it leads nowhere else.
TEST_P(LedgerContract, NoStateGoesBackwards) {
  using Verb = std::function<void(const TokenId&)>;
  const std::vector<std::pair<std::string, Verb>> verbs = {
      {"Activate", [&](const TokenId& id) { (void)Wait(ledger_->Activate(id, Made(), loop_.Now() + hours(1))); }},
      {"Abandon", [&](const TokenId& id) { (void)Wait(ledger_->Abandon(id, "refused")); }},
      {"StartRevoking",
       [&](const TokenId& id) { (void)Wait(ledger_->StartRevoking(id, RevokeReason::kPolicy, Made())); }},
      {"RequestRevocation", [&](const TokenId& id) { (void)Wait(ledger_->RequestRevocation(id, "ci")); }},
      {"RevokeForPolicy", [&](const TokenId& id) { (void)Wait(ledger_->RevokeForPolicy(id, "warden", "no grant")); }},
      {"RecordDeath", [&](const TokenId& id) { (void)Wait(ledger_->RecordDeath(id, Proof::kDeleted)); }},
      {"LookFindsNothing", [&](const TokenId& id) { (void)Wait(ledger_->RecordLook(id, loop_.Now(), {})); }},
      {"LookFinds", [&](const TokenId& id) { (void)Wait(ledger_->RecordLook(id, loop_.Now(), {Made()})); }},
  };
  enum { kP, kA, kG, kR, kE, kX };  // PENDING, ACTIVE, REVOKING, REVOKED, EXPIRED, ABANDONED
  const TokenState states[] = {TokenState::kPending, TokenState::kActive,  TokenState::kRevoking,
                               TokenState::kRevoked, TokenState::kExpired, TokenState::kAbandoned};
  const int expected[8][6] = {
      // from:  P   A   G   R   E   X
      {kA, kA, kG, kR, kE, kG},  // Activate
      {kX, kA, kG, kR, kE, kX},  // Abandon
      {kG, kG, kG, kR, kE, kG},  // StartRevoking
      {kG, kG, kG, kR, kE, kX},  // RequestRevocation
      {kP, kG, kG, kR, kE, kX},  // RevokeForPolicy
      {kP, kR, kR, kR, kE, kX},  // RecordDeath
      {kP, kA, kG, kR, kE, kX},  // LookFindsNothing
      {kG, kA, kG, kR, kE, kG},  // LookFinds
  };
  const auto make = [&](int state) {
    if (state == kP) return Begin(Spec()).id;
    if (state == kX) {
      const TokenId id = Begin(Spec()).id;
      EXPECT_TRUE(Wait(ledger_->Abandon(id, "refused")).ok());
      return id;
    }
    const TokenId id = Active().id;
    if (state == kA) return id;
    const RevokeReason reason = state == kE ? RevokeReason::kTtl : RevokeReason::kPolicy;
    EXPECT_TRUE(Wait(ledger_->StartRevoking(id, reason, std::nullopt)).ok());
    if (state == kG) return id;
    EXPECT_TRUE(Wait(ledger_->RecordDeath(id, Proof::kDeleted)).ok());
    return id;
  };
  for (std::size_t verb = 0; verb < verbs.size(); ++verb) {
    for (int from = kP; from <= kX; ++from) {
      const TokenId id = make(from);
      ASSERT_EQ(StateOf(id), states[from]);
      verbs[verb].second(id);
      EXPECT_EQ(StateOf(id), states[expected[verb][from]]) << verbs[verb].first << " from " << NameOf(states[from]);
    }
  }
}

TEST_P(LedgerContract, TheUpstreamIdIsSetOnce) {
  const Token active = Active();
  (void)Wait(ledger_->StartRevoking(active.id, RevokeReason::kPolicy, Made()));
  EXPECT_EQ(Wait(ledger_->Get(active.id))->token.upstream_id, active.upstream_id);
}

TEST_P(LedgerContract, ARequestIsOnceAcrossRestarts) {
  IntentSpec first = Spec();
  first.request = RequestKey{"7c9e6679-7425-40de-944b-e07fc1f90ae7", "digest"};
  const RequestKey key = *first.request;
  EXPECT_FALSE(Wait(ledger_->FindRequest("ci", key))->has_value());
  const Token old = Begin(first);
  ASSERT_TRUE(Wait(ledger_->Activate(old.id, Made(), old.expire_time)).ok());
  const WallTime first_time = loop_.Now();
  Reopen();
  loop_.Advance(minutes(1));
  absl::StatusOr<std::optional<RequestRecord>> record = Wait(ledger_->FindRequest("ci", key));
  ASSERT_TRUE(record.ok() && record->has_value()) << record.status();
  EXPECT_EQ((*record)->current.token.id, old.id);
  EXPECT_FALSE(Wait(ledger_->FindRequest("other", key))->has_value());
  EXPECT_EQ(ReasonOf(Wait(ledger_->FindRequest("ci", {key.request_id, "x"})).status()), "REQUEST_ID_REUSED");

  IntentSpec blind = Spec();
  blind.request = key;
  EXPECT_EQ(ReasonOf(Wait(ledger_->Begin(blind)).status()), "CREATE_IN_PROGRESS");
  IntentSpec other = Spec();
  other.request = RequestKey{key.request_id, "x"};
  other.replaces = old.id;
  EXPECT_EQ(ReasonOf(Wait(ledger_->Begin(other)).status()), "REQUEST_ID_REUSED");
  EXPECT_EQ(StateOf(old.id), TokenState::kActive);

  IntentSpec repeat = Spec();
  repeat.request = key;
  repeat.replaces = old.id;
  const Token fresh = Begin(repeat);
  EXPECT_EQ(Wait(ledger_->Get(old.id))->token.revoke_reason, RevokeReason::kSuperseded);
  record = Wait(ledger_->FindRequest("ci", key));
  EXPECT_EQ((*record)->current.token.id, fresh.id);
  EXPECT_EQ((*record)->first_attempt_time, first_time);  // Ten minutes count from the first attempt.
  loop_.Advance(hours(24));
  EXPECT_FALSE(Wait(ledger_->FindRequest("ci", key))->has_value());
}

TEST_P(LedgerContract, LooksComeWhenTheyAreDueAndCloseOnlyAfterSettle) {
  const Token token = Begin(Spec());
  const WallTime t = token.create_time;
  EXPECT_TRUE(Claim().empty());
  const std::vector<std::pair<Duration, TokenState>> looks = {
      {kGiveUpAfter, TokenState::kPending},
      {kSendWindow + kSettle, TokenState::kAbandoned},
      {hours(1), TokenState::kAbandoned},
      {hours(24), TokenState::kAbandoned},
  };
  for (const auto& [at, after] : looks) {
    EXPECT_EQ(*Wait(ledger_->NextDue()), t + at);
    loop_.Advance(t + at - loop_.Now() - Duration(1));
    EXPECT_TRUE(Claim().empty());
    loop_.Advance(Duration(1));
    EXPECT_EQ(Claim(), std::vector<TokenId>{token.id});
    EXPECT_TRUE(Claim().empty());  // Held for half a minute.
    EXPECT_TRUE(Wait(ledger_->RecordLook(token.id, loop_.Now(), {}))->empty());
    EXPECT_EQ(StateOf(token.id), after);
  }
  EXPECT_FALSE(Wait(ledger_->NextDue())->has_value());
}

TEST_P(LedgerContract, ARefusedIntentIsNotLookedFor) {
  const Token token = Begin(Spec());
  ASSERT_TRUE(Wait(ledger_->Abandon(token.id, "refused")).ok());
  EXPECT_FALSE(Wait(ledger_->NextDue())->has_value());
}

TEST_P(LedgerContract, EverythingThatALookFindsEndsUnderARowOfItsOwn) {
  const Token token = Begin(Spec());
  loop_.Advance(kGiveUpAfter);
  const std::vector<MadeUpstream> found = {Made(), Made(), Made()};
  const absl::StatusOr<std::vector<TokenId>> rows = Wait(ledger_->RecordLook(token.id, loop_.Now(), found));
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 3u);
  EXPECT_EQ((*rows)[0], token.id);
  for (std::size_t i = 0; i < 3; ++i) {
    const absl::StatusOr<TokenRecord> row = Wait(ledger_->Get((*rows)[i]));
    EXPECT_EQ(row->token.state, TokenState::kRevoking);
    EXPECT_EQ(row->token.revoke_reason, RevokeReason::kOrphan);
    EXPECT_EQ(row->token.upstream_id, found[i].id);
    EXPECT_EQ(row->token.owner, "ci");
  }
  EXPECT_EQ(Claim().size(), 3u);
}

TEST_P(LedgerContract, WhatHasARowAlreadyIsNoOrphan) {
  const Token other = Active();
  const Token token = Begin(Spec());
  loop_.Advance(kGiveUpAfter);
  const MadeUpstream known = {other.upstream_id, other.upstream_user_id, other.upstream_name, std::nullopt};
  EXPECT_TRUE(Wait(ledger_->RecordLook(token.id, loop_.Now(), {known}))->empty());
  EXPECT_EQ(StateOf(other.id), TokenState::kActive);
}

TEST_P(LedgerContract, ExpiryIsClaimedAtTheInstantAndNotBefore) {
  const Token token = Active("ci", minutes(5));
  loop_.Advance(minutes(5) - Duration(1));
  EXPECT_TRUE(Claim().empty());
  loop_.Advance(Duration(1));
  EXPECT_EQ(Claim(), std::vector<TokenId>{token.id});
  const absl::StatusOr<TokenRecord> record = Wait(ledger_->Get(token.id));
  EXPECT_EQ(record->token.state, TokenState::kRevoking);
  EXPECT_EQ(record->token.revoke_reason, RevokeReason::kTtl);
  EXPECT_EQ(Wait(ledger_->RecordDeath(token.id, Proof::kDeleted))->state, TokenState::kExpired);
}

TEST_P(LedgerContract, AClaimThatWasNotFinishedComesBack) {
  const Token token = Active("ci", minutes(1));
  loop_.Advance(minutes(1));
  EXPECT_EQ(Claim().size(), 1u);
  loop_.Advance(seconds(29));
  EXPECT_TRUE(Claim().empty());
  loop_.Advance(seconds(1));
  EXPECT_EQ(Claim(), std::vector<TokenId>{token.id});
}

TEST_P(LedgerContract, WhatWasAskedForComesFirstAndCallersTakeTurns) {
  std::vector<TokenId> busy;
  for (int i = 0; i < 4; ++i) busy.push_back(Active("busy", minutes(1)).id);
  const TokenId quiet = Active("quiet", minutes(1)).id;
  const TokenId look = Begin(Spec("busy", hours(2))).id;
  const TokenId asked = Active("busy", hours(2)).id;
  loop_.Advance(minutes(3));
  ASSERT_TRUE(Wait(ledger_->RequestRevocation(asked, "busy")).ok());
  const std::vector<TokenId> order = Claim();
  ASSERT_EQ(order.size(), 7u);
  EXPECT_EQ(order[0], asked);
  const auto place = std::find(order.begin(), order.end(), quiet) - order.begin();
  EXPECT_LE(place, 2);  // Not behind all of the busy caller's.
  EXPECT_EQ(order[6], look);
}

TEST_P(LedgerContract, AttemptsAreCountedAndParked) {
  const Token token = Active();
  ASSERT_TRUE(Wait(ledger_->RequestRevocation(token.id, "ci")).ok());
  ASSERT_TRUE(Wait(ledger_->RecordAttempt(token.id, loop_.Now() + seconds(4), true, "403")).ok());
  const absl::StatusOr<TokenRecord> record = Wait(ledger_->Get(token.id));
  EXPECT_EQ(record->attempts, 1);
  EXPECT_TRUE(record->parked);
  EXPECT_EQ(Wait(ledger_->Count())->parked, 1);
  loop_.Advance(seconds(3));
  EXPECT_TRUE(Claim().empty());
  loop_.Advance(seconds(1));
  EXPECT_EQ(Claim().size(), 1u);
  ASSERT_TRUE(Wait(ledger_->RecordDeath(token.id, Proof::kSeenRevoked)).ok());
  EXPECT_EQ(Wait(ledger_->Count())->parked, 0);
}

TEST_P(LedgerContract, ListsByCallerNewestFirstInPages) {
  std::vector<TokenId> made;
  for (int i = 0; i < 5; ++i) {
    made.push_back(Active().id);
    loop_.Advance(milliseconds(3));
  }
  Active("other");
  ASSERT_TRUE(Wait(ledger_->StartRevoking(made[1], RevokeReason::kPolicy, std::nullopt)).ok());
  ASSERT_TRUE(Wait(ledger_->RecordDeath(made[1], Proof::kDeleted)).ok());
  for (const bool closed : {false, true}) {
    ListQuery query;
    query.owner = "ci";
    query.show_closed = closed;
    query.limit = 2;
    const std::vector<TokenId> seen = AllPages(query);
    std::vector<TokenId> expected(made.rbegin(), made.rend());
    if (!closed) std::erase(expected, made[1]);
    EXPECT_EQ(seen, expected);
  }
}

TEST_P(LedgerContract, EveryChangeHasItsEvent) {
  const Token token = Active("ci", minutes(1));
  loop_.Advance(minutes(1));
  Claim();
  ASSERT_TRUE(Wait(ledger_->RecordDeath(token.id, Proof::kDeleted)).ok());
  const std::vector<std::string> kinds = {"token.pending", "token.active", "token.revoking", "token.expired"};
  ledger_.reset();
  EXPECT_EQ(world_->EventsOf(token.id), kinds);
  Reopen();
}

TEST_P(LedgerContract, RefusalsAreBoundedAndSummedUp) {
  for (int i = 0; i < 25; ++i) ledger_->NoteRefusal({"noisy", "CreateToken", "NOT_GRANTED", "project:x", "v"});
  ledger_->NoteRefusal({"calm", "CreateToken", "NOT_GRANTED", "project:x", "v"});
  loop_.Advance(minutes(1) + seconds(1));
  Claim();
  ledger_.reset();  // What waits is written before it ends.
  std::vector<std::string> kinds = world_->EventsOf("");
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "refusal"), 11);
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "refusals"), 1);
  Reopen();
}

}  // namespace tokenbroker
