#pragma once
// Testonly: ports that pass every verb on to another, for those that change a few.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/gitlab/gitlab.h"
#include "server/ledger/ledger.h"

namespace tokenbroker {

class ForwardingLedger : public Ledger {
 public:
  explicit ForwardingLedger(std::unique_ptr<Ledger> real) : real_(std::move(real)) {}

  WallTime Now() const override { return real_->Now(); }
  Task<absl::StatusOr<DurableIntent>> Begin(IntentSpec spec) override { return real_->Begin(std::move(spec)); }
  Task<absl::StatusOr<Token>> Activate(TokenId id, MadeUpstream made, WallTime expire_time) override {
    return real_->Activate(std::move(id), std::move(made), expire_time);
  }
  Task<absl::Status> Abandon(TokenId id, std::string why) override {
    return real_->Abandon(std::move(id), std::move(why));
  }
  Task<absl::StatusOr<Token>> StartRevoking(TokenId id, RevokeReason reason,
                                            std::optional<MadeUpstream> made) override {
    return real_->StartRevoking(std::move(id), reason, std::move(made));
  }
  Task<absl::StatusOr<TokenRecord>> RequestRevocation(TokenId id, std::string caller) override {
    return real_->RequestRevocation(std::move(id), std::move(caller));
  }
  Task<absl::StatusOr<TokenRecord>> RevokeForPolicy(TokenId id, std::string caller, std::string why) override {
    return real_->RevokeForPolicy(std::move(id), std::move(caller), std::move(why));
  }
  Task<absl::StatusOr<Token>> RecordDeath(TokenId id, Proof proof) override {
    return real_->RecordDeath(std::move(id), proof);
  }
  Task<absl::Status> RecordAttempt(TokenId id, WallTime next_attempt_time, bool parked, std::string why) override {
    return real_->RecordAttempt(std::move(id), next_attempt_time, parked, std::move(why));
  }
  Task<absl::StatusOr<std::vector<TokenId>>> RecordLook(TokenId id, WallTime began,
                                                        std::vector<MadeUpstream> found) override {
    return real_->RecordLook(std::move(id), began, std::move(found));
  }
  Task<absl::StatusOr<std::vector<Stranger>>> RecordSeen(std::string instance, std::vector<SeenToken> seen,
                                                         WallTime listed) override {
    return real_->RecordSeen(std::move(instance), std::move(seen), listed);
  }
  Task<absl::StatusOr<std::vector<std::int64_t>>> RecordUnknown(std::string instance, std::string list, WallTime pass,
                                                                std::vector<UnknownToken> found) override {
    return real_->RecordUnknown(std::move(instance), std::move(list), pass, std::move(found));
  }
  Task<absl::StatusOr<std::int64_t>> EndPass(std::string instance, WallTime pass,
                                             std::vector<std::string> lists) override {
    return real_->EndPass(std::move(instance), pass, std::move(lists));
  }
  Task<absl::StatusOr<UnknownList>> ListUnknown(std::string instance, std::int64_t after, int limit) override {
    return real_->ListUnknown(std::move(instance), after, limit);
  }
  Task<absl::StatusOr<std::vector<UnknownToken>>> FindUnknown(std::string instance,
                                                              std::vector<std::int64_t> ids) override {
    return real_->FindUnknown(std::move(instance), std::move(ids));
  }
  Task<absl::Status> KeepStray(TokenId id, MadeUpstream made) override {
    return real_->KeepStray(std::move(id), std::move(made));
  }
  Task<absl::StatusOr<std::vector<Token>>> TakeIn(std::vector<TakeInSpec> specs) override {
    return real_->TakeIn(std::move(specs));
  }
  Task<absl::Status> CheckQuota(std::string owner, std::string role, QuotaLimits limits,
                                std::optional<TokenId> gives_way) override {
    return real_->CheckQuota(std::move(owner), std::move(role), limits, std::move(gives_way));
  }
  Task<absl::StatusOr<TokenRecord>> Get(TokenId id) override { return real_->Get(std::move(id)); }
  Task<absl::StatusOr<TokenList>> List(ListQuery query) override { return real_->List(std::move(query)); }
  Task<absl::StatusOr<std::optional<RequestRecord>>> FindRequest(std::string caller, RequestKey key) override {
    return real_->FindRequest(std::move(caller), std::move(key));
  }
  Task<absl::StatusOr<Counts>> Count() override { return real_->Count(); }
  Task<absl::StatusOr<std::vector<std::int64_t>>> ActiveAmong(std::string instance,
                                                              std::vector<MadeUpstream> tokens) override {
    return real_->ActiveAmong(std::move(instance), std::move(tokens));
  }
  Task<absl::StatusOr<std::vector<TokenRecord>>> ListUnseen(WallTime since, int skip, int limit) override {
    return real_->ListUnseen(since, skip, limit);
  }
  Task<absl::StatusOr<std::vector<ResolvedTarget>>> ActiveTargets(std::optional<ResolvedTarget> after,
                                                                  int limit) override {
    return real_->ActiveTargets(std::move(after), limit);
  }
  bool UpstreamRestored() const override { return real_->UpstreamRestored(); }
  Task<absl::StatusOr<std::vector<AuditRecord>>> ReadAudit(AuditQuery query) override {
    return real_->ReadAudit(std::move(query));
  }
  Task<absl::StatusOr<std::vector<TokenRecord>>> ClaimDue(int limit) override { return real_->ClaimDue(limit); }
  Task<absl::StatusOr<std::optional<WallTime>>> NextDue() override { return real_->NextDue(); }
  Task<absl::StatusOr<DueList>> ListDue(std::optional<DuePosition> after, int limit) override {
    return real_->ListDue(std::move(after), limit);
  }
  Task<absl::Status> BoundWaits() override { return real_->BoundWaits(); }
  void NoteRefusal(Refusal refusal) override { real_->NoteRefusal(std::move(refusal)); }

 protected:
  Ledger& real() { return *real_; }

 private:
  const std::unique_ptr<Ledger> real_;
};

class ForwardingGitLab : public GitLab {
 public:
  explicit ForwardingGitLab(std::unique_ptr<GitLab> real) : real_(std::move(real)) {}

  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override {
    return real_->Mint(std::move(call), std::move(intent), std::move(spec));
  }
  Task<Ended<Deleted>> Revoke(CallContext call, UpstreamRef ref) override {
    return real_->Revoke(std::move(call), std::move(ref));
  }
  Task<absl::StatusOr<std::optional<UpstreamToken>>> GetToken(CallContext call, UpstreamRef ref) override {
    return real_->GetToken(std::move(call), std::move(ref));
  }
  Task<absl::StatusOr<bool>> ConfirmNotFound(CallContext call, UpstreamRef ref) override {
    return real_->ConfirmNotFound(std::move(call), std::move(ref));
  }
  Task<absl::StatusOr<std::vector<UpstreamToken>>> ListTokens(CallContext call, UpstreamQuery query) override {
    return real_->ListTokens(std::move(call), std::move(query));
  }
  Task<absl::StatusOr<TargetFacts>> Resolve(CallContext call, Target target) override {
    return real_->Resolve(std::move(call), std::move(target));
  }
  Task<absl::StatusOr<ResolvedTarget>> TargetOf(CallContext call, std::string instance, std::int64_t user_id) override {
    return real_->TargetOf(std::move(call), std::move(instance), user_id);
  }
  Task<absl::StatusOr<IssuerFacts>> CheckIssuer(CallContext call) override {
    return real_->CheckIssuer(std::move(call));
  }
  std::optional<UpstreamTime> Time() const override { return real_->Time(); }

 protected:
  GitLab& real() { return *real_; }

 private:
  const std::unique_ptr<GitLab> real_;
};

}  // namespace tokenbroker
