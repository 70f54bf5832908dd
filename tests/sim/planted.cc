#include "tests/sim/planted.h"

#include <utility>
#include <variant>

#include "server/base/error.h"
#include "server/base/task_scope.h"
#include "server/domain/expiry.h"
#include "server/ledger/stored_rows.h"
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

class NoFamilyLook final : public ForwardingLedger {
 public:
  using ForwardingLedger::ForwardingLedger;
  Task<absl::StatusOr<std::vector<TokenRecord>>> ClaimDue(int limit) override {
    absl::StatusOr<std::vector<TokenRecord>> due = co_await real().ClaimDue(limit);
    if (due.ok()) {
      for (TokenRecord& each : *due) {
        if (each.token.state == TokenState::kRevoking) each.token.scopes = {"read_api"};
      }
    }
    co_return due;
  }
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

class AbsenceIsDeath final : public ForwardingGitLab {
 public:
  using ForwardingGitLab::ForwardingGitLab;
  Task<absl::StatusOr<bool>> ConfirmNotFound(CallContext, UpstreamRef) override { co_return true; }
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
      {Plant::kPostBeforeIntent, "post-before-intent"},      {Plant::kNoLook, "no-look"},
      {Plant::kLookWithoutSettle, "look-without-settle"},    {Plant::kActivateBlindly, "activate-blindly"},
      {Plant::kAbsenceIsDeath, "absence-is-death"},          {Plant::kUnknownIsRefused, "unknown-is-refused"},
      {Plant::kCommitBeforeSync, "commit-before-sync"},      {Plant::kNoFamilyLook, "no-family-look"},
      {Plant::kRevocationForgotten, "revocation-forgotten"},
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
    case Plant::kNoFamilyLook:
      return std::make_unique<NoFamilyLook>(std::move(real));
    case Plant::kRevocationForgotten:
      return std::make_unique<RevocationForgotten>(std::move(real));
    default:
      return real;
  }
}

std::unique_ptr<GitLab> WithPlant(Plant plant, std::unique_ptr<GitLab> real) {
  switch (plant) {
    case Plant::kAbsenceIsDeath:
      return std::make_unique<AbsenceIsDeath>(std::move(real));
    case Plant::kUnknownIsRefused:
      return std::make_unique<UnknownIsRefused>(std::move(real));
    default:
      return real;
  }
}

}  // namespace tokenbroker::sim
