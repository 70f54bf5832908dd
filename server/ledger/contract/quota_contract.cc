// Quotas, counted where a token is written: what takes a place, what does not, and what a refusal says.

#include <random>
#include <utility>

#include "server/base/error.h"
#include "server/base/task_scope.h"
#include "server/base/time_text.h"
#include "server/domain/expiry.h"
#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {
namespace {

IntentSpec Under(IntentSpec spec, const std::string& role, QuotaLimits limits) {
  spec.grounds.role = role;
  spec.limits = limits;
  return spec;
}

constexpr QuotaLimits kTwoPlaces = {2, 0};
constexpr QuotaLimits kThreeAMinute = {0, 3};

TEST_P(LedgerContract, ATokenOfTheFutureCountsForNoRate) {
  IntentSpec spec = Spec();
  spec.grounds.role = "maker";
  spec.limits.creates_per_minute = 1;
  Begin(spec);
  // The broker was restarted, and the host's clock set back.
  loop_.StepWall(-hours(1));
  spec.token.id = NewId();
  EXPECT_EQ(Wait(ledger_->Begin(spec)).status(), absl::OkStatus());
  spec.token.id = NewId();
  EXPECT_EQ(ReasonOf(Wait(ledger_->Begin(spec)).status()), "RATE_EXCEEDED");
}

TEST_P(LedgerContract, WhatLivesTakesAPlaceAndWhatIsDeadDoesNot) {
  const TokenId first = Begin(Under(Spec(), "ci", kTwoPlaces)).id;
  const TokenId second = Begin(Under(Spec(), "ci", kTwoPlaces)).id;
  ASSERT_EQ(Wait(ledger_->Activate(first, Made(), loop_.Now() + hours(1))).status(), absl::OkStatus());
  ASSERT_EQ(Wait(ledger_->Activate(second, Made(), loop_.Now() + hours(1))).status(), absl::OkStatus());

  IntentSpec third = Under(Spec(), "ci", kTwoPlaces);
  const TokenId refused_id = third.token.id;
  const absl::Status refused = Wait(ledger_->Begin(std::move(third))).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused), "QUOTA_EXCEEDED");
  ASSERT_TRUE(QuotaOf(refused).has_value());
  EXPECT_EQ(QuotaOf(refused)->subject, "callers/ci role ci");
  EXPECT_EQ(QuotaOf(refused)->description, "2 of 2 places are taken");
  EXPECT_EQ(RetryAfterOf(refused), std::nullopt);  // Waiting alone will not help.
  EXPECT_EQ(Wait(ledger_->Get(refused_id)).status().code(), absl::StatusCode::kNotFound);

  // Another role and another caller have places of their own.
  EXPECT_EQ(Wait(ledger_->Begin(Under(Spec(), "other", kTwoPlaces))).status(), absl::OkStatus());
  EXPECT_EQ(Wait(ledger_->Begin(Under(Spec("else"), "ci", kTwoPlaces))).status(), absl::OkStatus());

  ASSERT_EQ(Wait(ledger_->RequestRevocation(first, "ci")).status(), absl::OkStatus());
  EXPECT_EQ(ReasonOf(Wait(ledger_->Begin(Under(Spec(), "ci", kTwoPlaces))).status()), "QUOTA_EXCEEDED");
  ASSERT_EQ(Wait(ledger_->RecordDeath(first, Proof::kDeleted)).status(), absl::OkStatus());
  EXPECT_EQ(Wait(ledger_->Begin(Under(Spec(), "ci", kTwoPlaces))).status(), absl::OkStatus());
}

TEST_P(LedgerContract, AFullQuotaTellsHowManyEndsAreUnknownAndUntilWhen) {
  const WallTime begun = loop_.Now();
  const TokenId revoking = Begin(Under(Spec(), "ci", kTwoPlaces)).id;
  ASSERT_EQ(Wait(ledger_->Activate(revoking, Made(), loop_.Now() + hours(1))).status(), absl::OkStatus());
  ASSERT_EQ(Wait(ledger_->RequestRevocation(revoking, "ci")).status(), absl::OkStatus());
  (void)Begin(Under(Spec(), "ci", kTwoPlaces));  // No answer comes.
  const absl::Status refused = Wait(ledger_->Begin(Under(Spec(), "ci", kTwoPlaces))).status();
  ASSERT_TRUE(QuotaOf(refused).has_value());
  EXPECT_EQ(QuotaOf(refused)->description,
            "2 of 2 places are taken, 2 of them by tokens whose end is still unknown, until " +
                FormatRfc3339(begun + kSendWindow + kSettle) + " at the latest while GitLab answers");
  EXPECT_EQ(RetryAfterOf(refused), seconds(1));

  // What is known to have made nothing gives its place back.
  loop_.Advance(kSendWindow + kSettle);
  for (const TokenId& id : Claim()) {
    if (Row(id).pending) {
      EXPECT_TRUE(Look(id).empty());
    }
  }
  EXPECT_EQ(Wait(ledger_->Begin(Under(Spec(), "ci", kTwoPlaces))).status(), absl::OkStatus());
}

TEST_P(LedgerContract, TheTokenThatGivesWayTakesNoPlace) {
  constexpr QuotaLimits kOne = {1, 0};
  IntentSpec first = Under(Spec(), "ci", kOne);
  first.request = RequestKey{"3f0f5b0a-56b5-4bd1-a2fd-7a0e3a3b8f10", "digest"};
  const TokenId old = Begin(std::move(first)).id;
  ASSERT_EQ(Wait(ledger_->Activate(old, Made(), loop_.Now() + hours(1))).status(), absl::OkStatus());
  EXPECT_EQ(ReasonOf(Wait(ledger_->CheckQuota("ci", "ci", kOne, std::nullopt))), "QUOTA_EXCEEDED");
  EXPECT_EQ(Wait(ledger_->CheckQuota("ci", "ci", kOne, old)), absl::OkStatus());
  // Of another role, it had no place to give.
  (void)Begin(Under(Spec(), "other", kOne));
  EXPECT_EQ(ReasonOf(Wait(ledger_->CheckQuota("ci", "other", kOne, old))), "QUOTA_EXCEEDED");
  IntentSpec second = Under(Spec(), "ci", kOne);
  second.request = RequestKey{"3f0f5b0a-56b5-4bd1-a2fd-7a0e3a3b8f10", "digest"};
  second.replaces = old;
  EXPECT_EQ(Wait(ledger_->Begin(std::move(second))).status(), absl::OkStatus());
  EXPECT_EQ(Shown(old), "REVOKING SUPERSEDED");
}

TEST_P(LedgerContract, AttemptsOfTheLastMinuteCountWhateverBecameOfThem) {
  for (int i = 0; i < 3; ++i) {
    const TokenId id = Begin(Under(Spec(), "ci", kThreeAMinute)).id;
    if (i == 1) {
      ASSERT_EQ(Wait(ledger_->Abandon(id, "GitLab said 400")), absl::OkStatus());
    }
    loop_.Advance(seconds(10));
  }
  const absl::Status refused = Wait(ledger_->Begin(Under(Spec(), "ci", kThreeAMinute))).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused), "RATE_EXCEEDED");
  EXPECT_EQ(QuotaOf(refused)->description, "at most 3 tokens a minute may be made");
  ASSERT_TRUE(RetryAfterOf(refused).has_value());
  EXPECT_EQ(*RetryAfterOf(refused), seconds(30));

  loop_.Advance(*RetryAfterOf(refused) - Duration(1));
  EXPECT_EQ(ReasonOf(Wait(ledger_->CheckQuota("ci", "ci", kThreeAMinute, std::nullopt))), "RATE_EXCEEDED");
  loop_.Advance(Duration(1));
  EXPECT_EQ(Wait(ledger_->Begin(Under(Spec(), "ci", kThreeAMinute))).status(), absl::OkStatus());
  // The next one has to wait for the second attempt's minute.
  EXPECT_EQ(ReasonOf(Wait(ledger_->Begin(Under(Spec(), "ci", kThreeAMinute))).status()), "RATE_EXCEEDED");
}

// What was made before the clock went back counts neither at once nor when its minutes come a second time.
TEST_P(LedgerContract, AfterAStepBackOnlyWhatIsMadeSinceCountsForTheRate) {
  const auto make = [this] { return Wait(ledger_->Begin(Under(Spec(), "ci", kThreeAMinute))).status(); };
  const auto full_minute = [&] {
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(make(), absl::OkStatus());
      loop_.Advance(seconds(20));
    }
  };
  for (int i = 0; i < 10; ++i) full_minute();
  loop_.StepWall(-minutes(8));
  ASSERT_EQ(Wait(ledger_->BoundWaits()), absl::OkStatus());
  for (int i = 0; i < 4; ++i) full_minute();
  // The same after a start that finds the clock set back.
  loop_.StepWall(-minutes(3));
  Reopen();
  for (int i = 0; i < 4; ++i) full_minute();
  ASSERT_EQ(make(), absl::OkStatus());
  EXPECT_EQ(ReasonOf(make()), "RATE_EXCEEDED");
}

// Whatever becomes of tokens, in whatever order, the counters are their number: TearDown compares as well.
TEST_P(LedgerContract, CountersAreTheNumberOfOpenTokensAfterAnyTransitions) {
  std::mt19937 dice(11);
  std::vector<TokenId> ids;
  for (int step = 0; step < 400; ++step) {
    if (ids.size() < 12 || dice() % 4 == 0) {
      IntentSpec spec = Spec(dice() % 2 == 0 ? "ci" : "build");
      spec.grounds.role = dice() % 2 == 0 ? "makers" : "";
      ids.push_back(Begin(std::move(spec)).id);
      continue;
    }
    const std::size_t verb = dice() % 12;
    const TokenId id = ids[dice() % ids.size()];
    ASSERT_EQ(Try(verb, id), absl::OkStatus());
    ASSERT_EQ(world_->VerifyQuotas(), absl::OkStatus()) << "verb " << verb << " on " << Shown(id);
  }
}

TEST_P(LedgerContract, QuotasOutliveARestart) {
  (void)Begin(Under(Spec(), "ci", kTwoPlaces));
  (void)Begin(Under(Spec(), "ci", kTwoPlaces));
  Reopen();
  EXPECT_EQ(ReasonOf(Wait(ledger_->Begin(Under(Spec(), "ci", kTwoPlaces))).status()), "QUOTA_EXCEEDED");
}

// One transaction checks and writes: of those that race for the last place one gets it.
TEST_P(LedgerContract, TheLastPlaceIsGivenOnce) {
  constexpr QuotaLimits kOne = {1, 0};
  TaskScope scope(loop_);
  int ended = 0;
  int begun = 0;
  for (int i = 0; i < 8; ++i) {
    scope.Spawn<absl::StatusOr<DurableIntent>>(ledger_->Begin(Under(Spec(), "ci", kOne)),
                                               [&](const absl::StatusOr<DurableIntent>& intent) {
                                                 ++ended;
                                                 begun += intent.ok() ? 1 : 0;
                                               });
  }
  ASSERT_TRUE(loop_.RunUntil([&] { return ended == 8; }));
  EXPECT_EQ(begun, 1);
}

}  // namespace
}  // namespace tokenbroker
