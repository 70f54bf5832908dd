#include "tests/sim/planted.h"

#include <utility>
#include <variant>

#include "server/base/error.h"
#include "server/base/task_scope.h"
#include "server/domain/expiry.h"
#include "server/ledger/stored_rows.h"
#include "tests/sim/planted_upstream.h"
#include "tests/support/forwarding.h"

namespace tokenbroker::sim {
namespace {

class PostBeforeIntent final : public ForwardingLedger {
 public:
  PostBeforeIntent(std::unique_ptr<Ledger> real, Executor& executor, Clock& clock)
      : ForwardingLedger(std::move(real)), clock_(clock), scope_(executor) {}
  Task<absl::StatusOr<DurableIntent>> Begin(IntentSpec spec) override {
    Token token = spec.token;
    token.state = TokenState::kPending;
    token.create_time = Now();
    token.expire_time = spec.ttl.has_value() ? Now() + *spec.ttl : *spec.expire_time;
    scope_.Spawn(WriteLater(std::move(spec)));
    co_return MakeIntent(std::move(token), clock_.Boot());
  }

 private:
  Task<void> WriteLater(IntentSpec spec) {
    co_await clock_.SleepUntil(clock_.Boot() + milliseconds(20));
    (void)co_await real().Begin(std::move(spec));
  }
  Clock& clock_;
  TaskScope scope_;
};

class NoLook final : public ForwardingLedger {
 public:
  using ForwardingLedger::ForwardingLedger;
  Task<absl::StatusOr<std::vector<TokenRecord>>> ClaimDue(int limit) override {
    absl::StatusOr<std::vector<TokenRecord>> due = co_await real().ClaimDue(limit);
    if (due.ok()) {
      std::erase_if(*due,
                    [](const TokenRecord& each) { return each.pending || each.token.state == TokenState::kAbandoned; });
    }
    co_return due;
  }
};

class LookWithoutSettle final : public ForwardingLedger {
 public:
  using ForwardingLedger::ForwardingLedger;
  Task<absl::StatusOr<std::vector<TokenId>>> RecordLook(TokenId id, WallTime began,
                                                        std::vector<MadeUpstream> found) override {
    return real().RecordLook(std::move(id), began + minutes(11), std::move(found));
  }
};

class ActivateBlindly final : public ForwardingLedger {
 public:
  ActivateBlindly(std::unique_ptr<Ledger> real, LedgerFile file)
      : ForwardingLedger(std::move(real)), file_(std::move(file)) {}
  Task<absl::StatusOr<Token>> Activate(TokenId id, MadeUpstream made, WallTime expire_time) override {
    absl::StatusOr<Token> token = co_await real().Activate(id, std::move(made), expire_time);
    if (!token.ok() || token->state == TokenState::kActive) co_return token;
    const absl::Status done = ExecuteInLedger(
        file_.path, file_.vfs, "UPDATE tokens SET state = 'ACTIVE', revoke_reason = '' WHERE id = '" + id + "'");
    if (done.ok()) token->state = TokenState::kActive;
    co_return token;
  }

 private:
  LedgerFile file_;
};

class RevocationForgotten final : public ForwardingLedger {
 public:
  using ForwardingLedger::ForwardingLedger;
  Task<absl::StatusOr<TokenRecord>> RequestRevocation(TokenId id, std::string) override {
    absl::StatusOr<TokenRecord> record = co_await real().Get(std::move(id));
    if (record.ok() && record->token.state == TokenState::kActive) {
      record->token.state = TokenState::kRevoking;
      record->token.revoke_reason = RevokeReason::kRequested;
    }
    co_return record;
  }
};

class EndsLate final : public ForwardingLedger {
 public:
  using ForwardingLedger::ForwardingLedger;
  Task<absl::StatusOr<std::vector<TokenRecord>>> ClaimDue(int limit) override {
    absl::StatusOr<std::vector<TokenRecord>> due = co_await real().ClaimDue(limit);
    if (!due.ok()) co_return due;
    for (const TokenRecord& each : *due) {
      if (!IsEarlyExpiry(each)) continue;
      (void)co_await real().RecordAttempt(each.token.id, each.token.expire_time + hours(5), false, "planted");
    }
    std::erase_if(*due, [this](const TokenRecord& each) { return IsEarlyExpiry(each); });
    co_return due;
  }

 private:
  bool IsEarlyExpiry(const TokenRecord& each) const {
    return !each.pending && each.token.revoke_reason == RevokeReason::kTtl && Now() < each.token.expire_time + hours(5);
  }
};

// The list that is made before a row's end finds nothing; the one two minutes later does.
class NoFamilyLook final : public ForwardingGitLab {
 public:
  using ForwardingGitLab::ForwardingGitLab;
  Task<absl::StatusOr<std::vector<UpstreamToken>>> ListTokens(CallContext call, UpstreamQuery query) override {
    if (query.active_only) return NothingFound();
    return real().ListTokens(std::move(call), std::move(query));
  }

 private:
  static Task<absl::StatusOr<std::vector<UpstreamToken>>> NothingFound() { co_return std::vector<UpstreamToken>(); }
};

class AbsenceIsDeath final : public ForwardingGitLab {
 public:
  using ForwardingGitLab::ForwardingGitLab;
  Task<absl::StatusOr<bool>> ConfirmNotFound(CallContext, UpstreamRef) override { co_return true; }
};

class SupersedesUsed final : public ForwardingGitLab {
 public:
  using ForwardingGitLab::ForwardingGitLab;
  Task<absl::StatusOr<std::optional<UpstreamToken>>> GetToken(CallContext call, UpstreamRef ref) override {
    absl::StatusOr<std::optional<UpstreamToken>> seen = co_await real().GetToken(std::move(call), std::move(ref));
    if (seen.ok() && seen->has_value()) (*seen)->last_used_at.reset();
    co_return seen;
  }
};

class UnknownIsRefused final : public ForwardingGitLab {
 public:
  using ForwardingGitLab::ForwardingGitLab;
  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override {
    Ended<Minted> end = co_await real().Mint(std::move(call), std::move(intent), std::move(spec));
    if (auto* unknown = std::get_if<Unknown>(&end)) {
      const absl::Status why = std::move(unknown->why);
      end.emplace<Refused>().why = why;
    }
    co_return end;
  }
};

}  // namespace

const std::vector<std::pair<Plant, std::string_view>>& Plants() {
  static const auto& plants = *new std::vector<std::pair<Plant, std::string_view>>{
      {Plant::kPostBeforeIntent, "post-before-intent"},
      {Plant::kNoLook, "no-look"},
      {Plant::kLookWithoutSettle, "look-without-settle"},
      {Plant::kActivateBlindly, "activate-blindly"},
      {Plant::kAbsenceIsDeath, "absence-is-death"},
      {Plant::kUnknownIsRefused, "unknown-is-refused"},
      {Plant::kCommitBeforeSync, "commit-before-sync"},
      {Plant::kNoFamilyLook, "no-family-look"},
      {Plant::kRevocationForgotten, "revocation-forgotten"},
      {Plant::kRouteByOldRights, "route-by-old-rights"},
      {Plant::kNotFoundTooEarly, "not-found-too-early"},
      {Plant::kDateOfAnybody, "date-of-anybody"},
      {Plant::kBelievesAnybody, "believes-anybody"},
      {Plant::kSupersedesUsed, "supersedes-used"},
      {Plant::kEndsLate, "ends-late"},
      {Plant::kOneQueue, "one-queue"},
      {Plant::kOneFailureEndsWalks, "one-failure-ends-walks"},
      {Plant::kClockOfTheHost, "clock-of-the-host"},
  };
  return plants;
}

std::unique_ptr<Ledger> WithPlant(Plant plant, std::unique_ptr<Ledger> real, Executor& executor, Clock& clock,
                                  LedgerFile file) {
  switch (plant) {
    case Plant::kPostBeforeIntent:
      return std::make_unique<PostBeforeIntent>(std::move(real), executor, clock);
    case Plant::kNoLook:
      return std::make_unique<NoLook>(std::move(real));
    case Plant::kLookWithoutSettle:
      return std::make_unique<LookWithoutSettle>(std::move(real));
    case Plant::kActivateBlindly:
      return std::make_unique<ActivateBlindly>(std::move(real), std::move(file));
    case Plant::kRevocationForgotten:
      return std::make_unique<RevocationForgotten>(std::move(real));
    case Plant::kEndsLate:
      return std::make_unique<EndsLate>(std::move(real));
    default:
      return real;
  }
}

std::unique_ptr<GitLab> WithPlant(Plant plant, std::unique_ptr<GitLab> real, Executor& executor, Clock& clock) {
  switch (plant) {
    case Plant::kNoFamilyLook:
      return std::make_unique<NoFamilyLook>(std::move(real));
    case Plant::kAbsenceIsDeath:
      return std::make_unique<AbsenceIsDeath>(std::move(real));
    case Plant::kUnknownIsRefused:
      return std::make_unique<UnknownIsRefused>(std::move(real));
    case Plant::kSupersedesUsed:
      return std::make_unique<SupersedesUsed>(std::move(real));
    case Plant::kOneQueue:
      return PlantOneQueue(std::move(real), executor, clock);
    case Plant::kOneFailureEndsWalks:
      return PlantOneFailureEndsWalks(std::move(real), clock);
    default:
      return real;
  }
}

}  // namespace tokenbroker::sim
