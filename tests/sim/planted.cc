#include "tests/sim/planted.h"

#include <utility>
#include <variant>

#include "server/base/error.h"
#include "server/base/task_scope.h"
#include "server/domain/expiry.h"
#include "server/ledger/stored_rows.h"

namespace tokenbroker::sim {
namespace {

// Passes everything on.
class ThroughLedger : public Ledger {
 public:
  explicit ThroughLedger(Ledger& real) : real_(real) {}

  WallTime Now() const override { return real_.Now(); }
  Task<absl::StatusOr<DurableIntent>> Begin(IntentSpec spec) override { return real_.Begin(std::move(spec)); }
  Task<absl::StatusOr<Token>> Activate(TokenId id, MadeUpstream made, WallTime expire_time) override {
    return real_.Activate(std::move(id), std::move(made), expire_time);
  }
  Task<absl::Status> Abandon(TokenId id, std::string why) override {
    return real_.Abandon(std::move(id), std::move(why));
  }
  Task<absl::StatusOr<Token>> StartRevoking(TokenId id, RevokeReason reason,
                                            std::optional<MadeUpstream> made) override {
    return real_.StartRevoking(std::move(id), reason, std::move(made));
  }
  Task<absl::StatusOr<TokenRecord>> RequestRevocation(TokenId id, std::string caller) override {
    return real_.RequestRevocation(std::move(id), std::move(caller));
  }
  Task<absl::StatusOr<Token>> RecordDeath(TokenId id, Proof proof) override {
    return real_.RecordDeath(std::move(id), proof);
  }
  Task<absl::Status> RecordAttempt(TokenId id, WallTime next_attempt_time, bool parked, std::string why) override {
    return real_.RecordAttempt(std::move(id), next_attempt_time, parked, std::move(why));
  }
  Task<absl::StatusOr<std::vector<TokenId>>> RecordLook(TokenId id, WallTime began,
                                                        std::vector<MadeUpstream> found) override {
    return real_.RecordLook(std::move(id), began, std::move(found));
  }
  Task<absl::StatusOr<TokenRecord>> Get(TokenId id) override { return real_.Get(std::move(id)); }
  Task<absl::StatusOr<std::vector<Token>>> List(ListQuery query) override { return real_.List(std::move(query)); }
  Task<absl::StatusOr<std::optional<RequestRecord>>> FindRequest(std::string caller, RequestKey key) override {
    return real_.FindRequest(std::move(caller), std::move(key));
  }
  Task<absl::StatusOr<Counts>> Count() override { return real_.Count(); }
  Task<absl::StatusOr<std::vector<TokenRecord>>> ClaimDue(int limit) override { return real_.ClaimDue(limit); }
  Task<absl::StatusOr<std::optional<WallTime>>> NextDue() override { return real_.NextDue(); }
  void NoteRefusal(Refusal refusal) override { real_.NoteRefusal(std::move(refusal)); }

 protected:
  Ledger& real_;
};

class PostBeforeIntent final : public ThroughLedger {
 public:
  PostBeforeIntent(Ledger& real, Executor& executor, Clock& clock)
      : ThroughLedger(real), clock_(clock), scope_(executor) {}
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
    (void)co_await real_.Begin(std::move(spec));
  }
  Clock& clock_;
  TaskScope scope_;
};

class NoLook final : public ThroughLedger {
 public:
  using ThroughLedger::ThroughLedger;
  Task<absl::StatusOr<std::vector<TokenRecord>>> ClaimDue(int limit) override {
    absl::StatusOr<std::vector<TokenRecord>> due = co_await real_.ClaimDue(limit);
    if (due.ok()) {
      std::erase_if(*due,
                    [](const TokenRecord& each) { return each.pending || each.token.state == TokenState::kAbandoned; });
    }
    co_return due;
  }
};

class LookWithoutSettle final : public ThroughLedger {
 public:
  using ThroughLedger::ThroughLedger;
  Task<absl::StatusOr<std::vector<TokenId>>> RecordLook(TokenId id, WallTime began,
                                                        std::vector<MadeUpstream> found) override {
    return real_.RecordLook(std::move(id), began + minutes(11), std::move(found));
  }
};

class ActivateBlindly final : public ThroughLedger {
 public:
  ActivateBlindly(Ledger& real, LedgerFile file) : ThroughLedger(real), file_(std::move(file)) {}
  Task<absl::StatusOr<Token>> Activate(TokenId id, MadeUpstream made, WallTime expire_time) override {
    absl::StatusOr<Token> token = co_await real_.Activate(id, std::move(made), expire_time);
    if (!token.ok() || token->state == TokenState::kActive) co_return token;
    const absl::Status done = ExecuteInLedger(
        file_.path, file_.vfs, "UPDATE tokens SET state = 'ACTIVE', revoke_reason = '' WHERE id = '" + id + "'");
    if (done.ok()) token->state = TokenState::kActive;
    co_return token;
  }

 private:
  LedgerFile file_;
};

class NoFamilyLook final : public ThroughLedger {
 public:
  using ThroughLedger::ThroughLedger;
  Task<absl::StatusOr<std::vector<TokenRecord>>> ClaimDue(int limit) override {
    absl::StatusOr<std::vector<TokenRecord>> due = co_await real_.ClaimDue(limit);
    if (due.ok()) {
      for (TokenRecord& each : *due) {
        if (each.token.state == TokenState::kRevoking) each.token.scopes = {"read_api"};
      }
    }
    co_return due;
  }
};

class RevocationForgotten final : public ThroughLedger {
 public:
  using ThroughLedger::ThroughLedger;
  Task<absl::StatusOr<TokenRecord>> RequestRevocation(TokenId id, std::string) override {
    absl::StatusOr<TokenRecord> record = co_await real_.Get(std::move(id));
    if (record.ok() && record->token.state == TokenState::kActive) {
      record->token.state = TokenState::kRevoking;
      record->token.revoke_reason = RevokeReason::kRequested;
    }
    co_return record;
  }
};

class ThroughGitLab : public GitLab {
 public:
  explicit ThroughGitLab(GitLab& real) : real_(real) {}

  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override {
    return real_.Mint(std::move(call), std::move(intent), std::move(spec));
  }
  Task<Ended<Deleted>> Revoke(CallContext call, UpstreamRef ref) override {
    return real_.Revoke(std::move(call), std::move(ref));
  }
  Task<absl::StatusOr<std::optional<UpstreamToken>>> GetToken(CallContext call, UpstreamRef ref) override {
    return real_.GetToken(std::move(call), std::move(ref));
  }
  Task<absl::StatusOr<bool>> ProvesAbsence(CallContext call, UpstreamRef ref) override {
    return real_.ProvesAbsence(std::move(call), std::move(ref));
  }
  Task<absl::StatusOr<std::vector<UpstreamToken>>> ListTokens(CallContext call, UpstreamQuery query) override {
    return real_.ListTokens(std::move(call), std::move(query));
  }
  Task<absl::StatusOr<TargetFacts>> Resolve(CallContext call, Target target) override {
    return real_.Resolve(std::move(call), std::move(target));
  }
  Task<absl::StatusOr<IssuerFacts>> CheckIssuer(CallContext call) override {
    return real_.CheckIssuer(std::move(call));
  }
  std::optional<Duration> Skew() const override { return real_.Skew(); }

 protected:
  GitLab& real_;
};

class AbsenceIsDeath final : public ThroughGitLab {
 public:
  using ThroughGitLab::ThroughGitLab;
  Task<absl::StatusOr<bool>> ProvesAbsence(CallContext, UpstreamRef) override { co_return true; }
};

class UnknownIsRefused final : public ThroughGitLab {
 public:
  using ThroughGitLab::ThroughGitLab;
  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override {
    Ended<Minted> end = co_await real_.Mint(std::move(call), std::move(intent), std::move(spec));
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
      {Plant::kPostBeforeIntent, "post-before-intent"},      {Plant::kNoLook, "no-look"},
      {Plant::kLookWithoutSettle, "look-without-settle"},    {Plant::kActivateBlindly, "activate-blindly"},
      {Plant::kAbsenceIsDeath, "absence-is-death"},          {Plant::kUnknownIsRefused, "unknown-is-refused"},
      {Plant::kCommitBeforeSync, "commit-before-sync"},      {Plant::kNoFamilyLook, "no-family-look"},
      {Plant::kRevocationForgotten, "revocation-forgotten"},
  };
  return plants;
}

std::unique_ptr<Ledger> WithPlant(Plant plant, Ledger& real, Executor& executor, Clock& clock, LedgerFile file) {
  switch (plant) {
    case Plant::kPostBeforeIntent:
      return std::make_unique<PostBeforeIntent>(real, executor, clock);
    case Plant::kNoLook:
      return std::make_unique<NoLook>(real);
    case Plant::kLookWithoutSettle:
      return std::make_unique<LookWithoutSettle>(real);
    case Plant::kActivateBlindly:
      return std::make_unique<ActivateBlindly>(real, std::move(file));
    case Plant::kNoFamilyLook:
      return std::make_unique<NoFamilyLook>(real);
    case Plant::kRevocationForgotten:
      return std::make_unique<RevocationForgotten>(real);
    default:
      return std::make_unique<ThroughLedger>(real);
  }
}

std::unique_ptr<GitLab> WithPlant(Plant plant, GitLab& real) {
  switch (plant) {
    case Plant::kAbsenceIsDeath:
      return std::make_unique<AbsenceIsDeath>(real);
    case Plant::kUnknownIsRefused:
      return std::make_unique<UnknownIsRefused>(real);
    default:
      return std::make_unique<ThroughGitLab>(real);
  }
}

}  // namespace tokenbroker::sim
