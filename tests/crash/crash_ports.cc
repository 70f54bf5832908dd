#include "tests/crash/crash_ports.h"

#include <string>
#include <utility>
#include <vector>

#include "tests/support/forwarding.h"

namespace tokenbroker {
namespace {

using Shared = std::shared_ptr<Whereabouts>;

class CrashLedger final : public ForwardingLedger {
 public:
  CrashLedger(std::unique_ptr<Ledger> real, Shared where)
      : ForwardingLedger(std::move(real)), where_(std::move(where)) {}

  Task<absl::StatusOr<DurableIntent>> Begin(IntentSpec spec) override {
    where_->Begun(spec.token.id, spec.replaces.has_value());
    const std::string_view use = where_->Of(spec.token.id);
    return Between(where_, use, "begin", real().Begin(std::move(spec)));
  }
  Task<absl::StatusOr<Token>> Activate(TokenId id, MadeUpstream made, WallTime expire_time) override {
    const std::string_view use = where_->Of(id);
    return Between(where_, use, "activate", real().Activate(std::move(id), std::move(made), expire_time));
  }
  Task<absl::Status> Abandon(TokenId id, std::string why) override {
    return Between(where_, "create", "abandon", real().Abandon(std::move(id), std::move(why)));
  }
  Task<absl::StatusOr<Token>> StartRevoking(TokenId id, RevokeReason reason,
                                            std::optional<MadeUpstream> made) override {
    return Between(where_, "create", "take_back", real().StartRevoking(std::move(id), reason, std::move(made)));
  }
  Task<absl::StatusOr<TokenRecord>> RequestRevocation(TokenId id, std::string caller) override {
    return Asked(where_, real().RequestRevocation(std::move(id), std::move(caller)));
  }
  Task<absl::StatusOr<Token>> RecordDeath(TokenId id, Proof proof) override {
    const std::string_view use = where_->Of(id);
    return Between(where_, use, "death", real().RecordDeath(std::move(id), proof));
  }
  Task<absl::Status> RecordAttempt(TokenId id, WallTime next_attempt_time, bool parked, std::string why) override {
    const std::string_view use = where_->Of(id);
    return Between(where_, use, "attempt",
                   real().RecordAttempt(std::move(id), next_attempt_time, parked, std::move(why)));
  }
  Task<absl::StatusOr<std::vector<TokenId>>> RecordLook(TokenId id, WallTime began,
                                                        std::vector<MadeUpstream> found) override {
    return Between(where_, "look", "record", real().RecordLook(std::move(id), began, std::move(found)));
  }
  // Of the use cases under test only Revoke asks for one token.
  Task<absl::StatusOr<TokenRecord>> Get(TokenId id) override {
    return Between(where_, "revoke", "get", real().Get(std::move(id)));
  }
  Task<absl::StatusOr<std::optional<RequestRecord>>> FindRequest(std::string caller, RequestKey key) override {
    return Found(where_, real().FindRequest(std::move(caller), std::move(key)));
  }
  Task<absl::StatusOr<std::vector<TokenRecord>>> ClaimDue(int limit) override {
    return Claimed(where_, real().ClaimDue(limit));
  }

 private:
  // The answer tells on whose behalf the token is ended from here on.
  static Task<absl::StatusOr<TokenRecord>> Asked(Shared where, Task<absl::StatusOr<TokenRecord>> real) {
    absl::StatusOr<TokenRecord> record = co_await Between(where, "revoke", "request", std::move(real));
    if (record.ok()) where->Learn(*record);
    co_return record;
  }

  static Task<absl::StatusOr<std::optional<RequestRecord>>> Found(
      Shared where, Task<absl::StatusOr<std::optional<RequestRecord>>> real) {
    where->Enter();
    where->At("call", "find_request", "before");
    absl::StatusOr<std::optional<RequestRecord>> record = co_await std::move(real);
    const bool repeat = record.ok() && record->has_value();
    where->At(repeat ? "repeat" : "create", "find_request", "after");
    where->Leave();
    co_return record;
  }

  static Task<absl::StatusOr<std::vector<TokenRecord>>> Claimed(Shared where,
                                                                Task<absl::StatusOr<std::vector<TokenRecord>>> real) {
    where->At("call", "claim", "before");
    const std::uint32_t since = where->step();
    absl::StatusOr<std::vector<TokenRecord>> due = co_await std::move(real);
    if (!due.ok()) co_return due;
    if (due->empty()) where->FoundNothing(since);
    for (const TokenRecord& record : *due) where->Learn(record);
    for (const TokenRecord& record : *due) where->At(where->Of(record.token.id), "claim", "after");
    co_return due;
  }

  const Shared where_;
};

class CrashGitLab final : public ForwardingGitLab {
 public:
  CrashGitLab(std::unique_ptr<GitLab> real, Shared where)
      : ForwardingGitLab(std::move(real)), where_(std::move(where)) {}

  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override {
    const std::string_view use = where_->Of(intent.token().id);
    return Between(where_, use, "mint", real().Mint(std::move(call), std::move(intent), std::move(spec)));
  }
  Task<Ended<Deleted>> Revoke(CallContext call, UpstreamRef ref) override {
    const std::string_view use = where_->Of(ref.token_id).value_or("create");
    return Between(where_, use, "delete", real().Revoke(std::move(call), std::move(ref)));
  }
  Task<absl::StatusOr<std::optional<UpstreamToken>>> GetToken(CallContext call, UpstreamRef ref) override {
    const std::optional<std::string_view> ended = where_->Of(ref.token_id);
    return Between(where_, ended.value_or("repeat"), ended.has_value() ? "seen" : "used",
                   real().GetToken(std::move(call), std::move(ref)));
  }
  Task<absl::StatusOr<bool>> ConfirmNotFound(CallContext call, UpstreamRef ref) override {
    const std::string_view use = where_->Of(ref.token_id).value_or("create");
    return Between(where_, use, "absence", real().ConfirmNotFound(std::move(call), std::move(ref)));
  }
  Task<absl::StatusOr<std::vector<UpstreamToken>>> ListTokens(CallContext call, UpstreamQuery query) override {
    const std::string_view use = query.active_only ? "family" : "look";  // A family's list is no point of its own.
    return Between(where_, use, "list", real().ListTokens(std::move(call), std::move(query)));
  }
  Task<absl::StatusOr<TargetFacts>> Resolve(CallContext call, Target target) override {
    return Between(where_, "call", "resolve", real().Resolve(std::move(call), std::move(target)));
  }

 private:
  const Shared where_;
};

}  // namespace

std::unique_ptr<Ledger> WithCrashPoints(std::unique_ptr<Ledger> real, std::shared_ptr<Whereabouts> whereabouts) {
  return std::make_unique<CrashLedger>(std::move(real), std::move(whereabouts));
}

std::unique_ptr<GitLab> WithCrashPoints(std::unique_ptr<GitLab> real, std::shared_ptr<Whereabouts> whereabouts) {
  return std::make_unique<CrashGitLab>(std::move(real), std::move(whereabouts));
}

}  // namespace tokenbroker
