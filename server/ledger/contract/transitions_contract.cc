// Every verb against every state: which change is made, and that no other is.

#include <array>
#include <string>

#include "server/domain/expiry.h"
#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kStates = 8;
// Column heads of the table below. FLAGGED: PENDING, with its revocation asked for. EXPIRING: REVOKING for its ttl.
constexpr std::array<const char*, kStates> kStateNames = {"PENDING",  "FLAGGED", "ACTIVE",  "REVOKING",
                                                          "EXPIRING", "REVOKED", "EXPIRED", "ABANDONED"};
constexpr std::array<const char*, kStates> kUnchanged = {"PENDING",      "PENDING as REVOKING REQUESTED",
                                                         "ACTIVE",       "REVOKING POLICY",
                                                         "REVOKING TTL", "REVOKED POLICY",
                                                         "EXPIRED TTL",  "ABANDONED"};

struct Row {
  const char* verb;
  std::array<const char*, kStates> after;  // Null: the state stays as it is.
};

constexpr const char* kSame = nullptr;
constexpr std::array<Row, 12> kTable = {{
    // PENDING, FLAGGED, ACTIVE, REVOKING, EXPIRING, REVOKED, EXPIRED, ABANDONED
    {"activate in time", {"ACTIVE", "REVOKING REQUESTED", kSame, kSame, kSame, kSame, kSame, "REVOKING LATE_REPLY"}},
    {"activate late",
     {"REVOKING LATE_REPLY", "REVOKING REQUESTED", kSame, kSame, kSame, kSame, kSame, "REVOKING LATE_REPLY"}},
    {"abandon", {"ABANDONED", "ABANDONED REQUESTED", kSame, kSame, kSame, kSame, kSame, kSame}},
    {"start revoking",
     {"REVOKING CALLER_GONE", "REVOKING REQUESTED", "REVOKING CALLER_GONE", kSame, kSame, kSame, kSame,
      "REVOKING CALLER_GONE"}},
    {"request revocation",
     {"PENDING as REVOKING REQUESTED", kSame, "REVOKING REQUESTED", kSame, kSame, kSame, kSame, kSame}},
    {"record death", {kSame, kSame, "REVOKED UPSTREAM", "REVOKED POLICY", "EXPIRED TTL", kSame, kSame, kSame}},
    {"record attempt", {kSame, kSame, kSame, kSame, kSame, kSame, kSame, kSame}},
    {"early look, nothing", {kSame, kSame, kSame, kSame, kSame, kSame, kSame, kSame}},
    {"settled look, nothing", {"ABANDONED", "ABANDONED REQUESTED", kSame, kSame, kSame, kSame, kSame, kSame}},
    {"look, found", {"REVOKING ORPHAN", "REVOKING REQUESTED", kSame, kSame, kSame, kSame, kSame, "REVOKING ORPHAN"}},
    {"claim before anything is due", {kSame, kSame, kSame, kSame, kSame, kSame, kSame, kSame}},
    {"claim past expire_time", {kSame, kSame, "REVOKING TTL", kSame, kSame, kSame, kSame, kSame}},
}};

}  // namespace

TokenId LedgerContract::InState(std::size_t state) {
  switch (state) {
    case 0:
      return PendingRow();
    case 1: {
      const TokenId id = PendingRow();
      EXPECT_EQ(Wait(ledger_->RequestRevocation(id, "ci")).status(), absl::OkStatus());
      return id;
    }
    case 2:
      return ActiveRow();
    case 3:
      return RevokingRow();
    case 4:
      return RevokingRow(RevokeReason::kTtl);
    case 5:
    case 6: {
      const TokenId id = RevokingRow(state == 5 ? RevokeReason::kPolicy : RevokeReason::kTtl);
      EXPECT_EQ(Wait(ledger_->RecordDeath(id, Proof::kDeleted)).status(), absl::OkStatus());
      return id;
    }
    default:
      return AbandonedRow();
  }
}

absl::Status LedgerContract::Try(std::size_t verb, const TokenId& id) {
  const WallTime end = loop_.Now() + hours(1);
  const auto known = made_.find(id);
  const MadeUpstream made = known == made_.end() ? Made() : known->second;
  switch (verb) {
    case 0:
      return Wait(ledger_->Activate(id, made, end)).status();
    case 1:
      loop_.Advance(kGiveUpAfter);
      return Wait(ledger_->Activate(id, made, end)).status();
    case 2:
      return Wait(ledger_->Abandon(id, "GitLab said 422"));
    case 3:
      return Wait(ledger_->StartRevoking(id, RevokeReason::kCallerGone, made)).status();
    case 4:
      return Wait(ledger_->RequestRevocation(id, "ci")).status();
    case 5:
      return Wait(ledger_->RecordDeath(id, Proof::kDeleted)).status();
    case 6:
      return Wait(ledger_->RecordAttempt(id, loop_.Now() + seconds(1), false, "GitLab is down"));
    case 7:
      return Wait(ledger_->RecordLook(id, loop_.Now() + kGiveUpAfter, {})).status();
    case 8:
      loop_.Advance(kSendWindow + kSettle);
      return Wait(ledger_->RecordLook(id, loop_.Now(), {})).status();
    case 9:
      return Wait(ledger_->RecordLook(id, loop_.Now(), {made})).status();
    case 10:
      return Wait(ledger_->ClaimDue(1000)).status();
    default:
      loop_.Advance(hours(1));
      return Wait(ledger_->ClaimDue(1000)).status();
  }
}

namespace {

TEST_P(LedgerContract, TransitionsAreTheseAndNoOthers) {
  for (std::size_t verb = 0; verb < kTable.size(); ++verb) {
    for (std::size_t state = 0; state < kStates; ++state) {
      SCOPED_TRACE(std::string(kTable[verb].verb) + " on " + kStateNames[state]);
      const TokenId id = InState(state);
      ASSERT_EQ(Shown(id), kUnchanged[state]);
      const std::size_t events_before = world_->EventsOf(id).size();
      EXPECT_EQ(Try(verb, id), absl::OkStatus());
      const char* expected = kTable[verb].after[state];
      EXPECT_EQ(Shown(id), expected == kSame ? kUnchanged[state] : expected);
      // One change, one event, both or neither.
      EXPECT_EQ(world_->EventsOf(id).size() - events_before, expected == kSame ? 0U : 1U);
    }
  }
}

// What ends must be tried, what is over must not.
TEST_P(LedgerContract, TransitionsLeaveWorkToDoExactlyWhereThereIsSome) {
  for (std::size_t verb = 0; verb < kTable.size(); ++verb) {
    for (std::size_t state = 0; state < kStates; ++state) {
      SCOPED_TRACE(std::string(kTable[verb].verb) + " on " + kStateNames[state]);
      const TokenId id = InState(state);
      EXPECT_EQ(Try(verb, id), absl::OkStatus());
      const TokenRecord after = Row(id);
      const bool closed_for_good =
          after.token.state == TokenState::kRevoked || after.token.state == TokenState::kExpired;
      if (closed_for_good) {
        EXPECT_EQ(after.next_attempt_time, std::nullopt);
      }
      if (after.pending || after.token.state == TokenState::kActive || after.token.state == TokenState::kRevoking) {
        EXPECT_NE(after.next_attempt_time, std::nullopt);
      }
    }
  }
}

}  // namespace
}  // namespace tokenbroker
