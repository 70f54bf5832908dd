#include "tests/crash/planted.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "server/base/error.h"
#include "tests/support/forwarding.h"

namespace tokenbroker {
namespace {

class BlindLedger final : public ForwardingLedger {
 public:
  using ForwardingLedger::ForwardingLedger;

  Task<absl::StatusOr<std::vector<TokenRecord>>> ClaimDue(int limit) override {
    return WithoutLooks(real().ClaimDue(limit));
  }

 private:
  static Task<absl::StatusOr<std::vector<TokenRecord>>> WithoutLooks(
      Task<absl::StatusOr<std::vector<TokenRecord>>> real) {
    absl::StatusOr<std::vector<TokenRecord>> due = co_await std::move(real);
    if (due.ok()) {
      std::erase_if(*due,
                    [](const TokenRecord& each) { return each.pending || each.token.state == TokenState::kAbandoned; });
    }
    co_return due;
  }
};

class ForgetfulLedger final : public ForwardingLedger {
 public:
  using ForwardingLedger::ForwardingLedger;

  Task<absl::StatusOr<TokenRecord>> RequestRevocation(TokenId id, std::string /*caller*/) override {
    return Nod(real().Get(std::move(id)));
  }

 private:
  // The DELETE that follows is written when it has ended.
  static Task<absl::StatusOr<TokenRecord>> Nod(Task<absl::StatusOr<TokenRecord>> real) {
    absl::StatusOr<TokenRecord> record = co_await std::move(real);
    if (record.ok() && record->token.state == TokenState::kActive) {
      record->token.state = TokenState::kRevoking;
      record->token.revoke_reason = RevokeReason::kRequested;
    }
    co_return record;
  }
};

class CredulousGitLab final : public ForwardingGitLab {
 public:
  using ForwardingGitLab::ForwardingGitLab;

  Task<absl::StatusOr<bool>> ConfirmNotFound(CallContext /*call*/, UpstreamRef /*ref*/) override { return Always(); }

 private:
  static Task<absl::StatusOr<bool>> Always() { co_return true; }
};

class CertainGitLab final : public ForwardingGitLab {
 public:
  using ForwardingGitLab::ForwardingGitLab;

  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override {
    return Refuse(real().Mint(std::move(call), std::move(intent), std::move(spec)));
  }

 private:
  static Task<Ended<Minted>> Refuse(Task<Ended<Minted>> real) {
    Ended<Minted> end = co_await std::move(real);
    if (std::holds_alternative<Unknown>(end)) {
      end = Refused{Error(absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", "GitLab did not answer")};
    }
    co_return end;
  }
};

}  // namespace

// Makes intents that nothing holds, and writes each when its POST has ended.
class Planter::LateIntents final : public ForwardingLedger {
 public:
  LateIntents(std::unique_ptr<Ledger> real, Clock& clock) : ForwardingLedger(std::move(real)), clock_(clock) {}

  Task<absl::StatusOr<DurableIntent>> Begin(IntentSpec spec) override { return Promise(this, std::move(spec)); }

  static Task<void> Write(LateIntents* self, TokenId id) {
    const auto found = self->unwritten_.find(id);
    if (found == self->unwritten_.end()) co_return;
    IntentSpec spec = std::move(found->second);
    self->unwritten_.erase(found);
    (void)co_await self->real().Begin(std::move(spec));
  }

 private:
  static Task<absl::StatusOr<DurableIntent>> Promise(LateIntents* self, IntentSpec spec) {
    Token token = spec.token;
    token.create_time = self->Now();
    token.expire_time = spec.ttl.has_value() ? token.create_time + *spec.ttl : *spec.expire_time;
    self->unwritten_.emplace(token.id, std::move(spec));
    co_return MakeIntent(std::move(token), self->clock_.Boot());
  }

  Clock& clock_;
  std::map<TokenId, IntentSpec> unwritten_;
};

namespace {

template <typename Late>
class EarlyGitLab final : public ForwardingGitLab {
 public:
  EarlyGitLab(std::unique_ptr<GitLab> real, Late* late) : ForwardingGitLab(std::move(real)), late_(late) {}

  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override {
    const TokenId id = intent.token().id;
    return ThenWrite(late_, id, real().Mint(std::move(call), std::move(intent), std::move(spec)));
  }

 private:
  static Task<Ended<Minted>> ThenWrite(Late* late, TokenId id, Task<Ended<Minted>> real) {
    Ended<Minted> end = co_await std::move(real);
    co_await Late::Write(late, std::move(id));
    co_return end;
  }

  Late* late_;
};

}  // namespace

std::optional<Plant> PlantNamed(std::string_view name) {
  static constexpr std::pair<std::string_view, Plant> kNames[] = {
      {"none", Plant::kNone},
      {"post-before-intent", Plant::kPostBeforeIntent},
      {"no-look", Plant::kNoLook},
      {"no-settle", Plant::kNoSettle},
      {"absence-is-death", Plant::kAbsenceIsDeath},
      {"forgetful", Plant::kForgetful},
      {"answer-before-sync", Plant::kAnswerBeforeSync},
      {"unavailable", Plant::kUnavailable},
  };
  for (const auto& [known, plant] : kNames) {
    if (known == name) return plant;
  }
  return std::nullopt;
}

std::unique_ptr<Ledger> Planter::Wrap(std::unique_ptr<Ledger> real, Clock& clock) {
  if (plant_ == Plant::kNoLook) return std::make_unique<BlindLedger>(std::move(real));
  if (plant_ == Plant::kForgetful) return std::make_unique<ForgetfulLedger>(std::move(real));
  if (plant_ != Plant::kPostBeforeIntent) return real;
  auto late = std::make_unique<LateIntents>(std::move(real), clock);
  late_ = late.get();
  return late;
}

std::unique_ptr<GitLab> Planter::Wrap(std::unique_ptr<GitLab> real) {
  switch (plant_) {
    case Plant::kAbsenceIsDeath:
      return std::make_unique<CredulousGitLab>(std::move(real));
    case Plant::kUnavailable:
      return std::make_unique<CertainGitLab>(std::move(real));
    case Plant::kPostBeforeIntent:
      return std::make_unique<EarlyGitLab<LateIntents>>(std::move(real), late_);
    default:
      return real;
  }
}

}  // namespace tokenbroker
