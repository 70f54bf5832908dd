#pragma once
// Testonly: a real ledger whose writes fail when a test says so: before anything is written, as with a full disk, or
// after it was, as with a COMMIT whose answer is lost. Reads always work.

#include <atomic>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "server/base/error.h"
#include "server/ledger/ledger.h"

namespace tokenbroker {

class FaultyLedger final : public Ledger {
 public:
  enum class Fault { kNone, kBefore, kAfter };

  explicit FaultyLedger(Ledger& real) : real_(real) {}
  // For every write from now on.
  void set_fault(Fault fault) { fault_ = fault; }
  // So long a commit of Begin takes from now on.
  void set_begin_takes(Clock& clock, Duration takes) {
    clock_ = &clock;
    begin_takes_ = takes;
  }
  // Called before each Activate, while nothing of it is written yet.
  void set_before_activate(std::function<void()> act) { before_activate_ = std::move(act); }
  // Pages of the audit that were asked for so far.
  int audit_pages() const { return audit_pages_; }
  int gets() const { return gets_; }

  WallTime Now() const override { return real_.Now(); }
  Task<absl::StatusOr<DurableIntent>> Begin(IntentSpec spec) override {
    return Slow(Spoil(fault_ == Fault::kBefore, real_.Begin(std::move(spec))));
  }
  Task<absl::StatusOr<Token>> Activate(TokenId id, MadeUpstream made, WallTime expire_time) override {
    if (before_activate_) before_activate_();
    return Spoil(fault_ == Fault::kBefore, real_.Activate(std::move(id), std::move(made), expire_time));
  }
  Task<absl::Status> Abandon(TokenId id, std::string why) override {
    return SpoilStatus(fault_ == Fault::kBefore, real_.Abandon(std::move(id), std::move(why)));
  }
  Task<absl::StatusOr<Token>> StartRevoking(TokenId id, RevokeReason reason,
                                            std::optional<MadeUpstream> made) override {
    return Spoil(fault_ == Fault::kBefore, real_.StartRevoking(std::move(id), reason, std::move(made)));
  }
  Task<absl::StatusOr<TokenRecord>> RequestRevocation(TokenId id, std::string caller) override {
    return Spoil(fault_ == Fault::kBefore, real_.RequestRevocation(std::move(id), std::move(caller)));
  }
  Task<absl::StatusOr<TokenRecord>> RevokeForPolicy(TokenId id, std::string caller, std::string why) override {
    return Spoil(fault_ == Fault::kBefore, real_.RevokeForPolicy(std::move(id), std::move(caller), std::move(why)));
  }
  Task<absl::StatusOr<Token>> RecordDeath(TokenId id, Proof proof) override {
    return Spoil(fault_ == Fault::kBefore, real_.RecordDeath(std::move(id), proof));
  }
  Task<absl::Status> RecordAttempt(TokenId id, WallTime next_attempt_time, bool parked, std::string why) override {
    return SpoilStatus(fault_ == Fault::kBefore,
                       real_.RecordAttempt(std::move(id), next_attempt_time, parked, std::move(why)));
  }
  Task<absl::StatusOr<std::vector<TokenId>>> RecordLook(TokenId id, WallTime began,
                                                        std::vector<MadeUpstream> found) override {
    return Spoil(fault_ == Fault::kBefore, real_.RecordLook(std::move(id), began, std::move(found)));
  }
  Task<absl::StatusOr<std::vector<Stranger>>> RecordSeen(std::string instance, std::vector<SeenToken> seen,
                                                         WallTime listed) override {
    return Spoil(fault_ == Fault::kBefore, real_.RecordSeen(std::move(instance), std::move(seen), listed));
  }
  Task<absl::StatusOr<std::vector<std::int64_t>>> RecordUnknown(std::string instance, std::string list, WallTime pass,
                                                                std::vector<UnknownToken> found) override {
    return Spoil(fault_ == Fault::kBefore,
                 real_.RecordUnknown(std::move(instance), std::move(list), pass, std::move(found)));
  }
  Task<absl::StatusOr<std::int64_t>> EndPass(std::string instance, WallTime pass,
                                             std::vector<std::string> lists) override {
    return Spoil(fault_ == Fault::kBefore, real_.EndPass(std::move(instance), pass, std::move(lists)));
  }
  Task<absl::StatusOr<UnknownList>> ListUnknown(std::string instance, std::int64_t after, int limit) override {
    return real_.ListUnknown(std::move(instance), after, limit);
  }
  Task<absl::StatusOr<std::vector<UnknownToken>>> FindUnknown(std::string instance,
                                                              std::vector<std::int64_t> ids) override {
    return real_.FindUnknown(std::move(instance), std::move(ids));
  }
  Task<absl::Status> KeepStray(TokenId id, MadeUpstream made) override {
    return SpoilStatus(fault_ == Fault::kBefore, real_.KeepStray(std::move(id), std::move(made)));
  }
  Task<absl::StatusOr<std::vector<Token>>> TakeIn(std::vector<TakeInSpec> specs) override {
    return Spoil(fault_ == Fault::kBefore, real_.TakeIn(std::move(specs)));
  }
  Task<absl::StatusOr<std::vector<TokenRecord>>> ClaimDue(int limit) override {
    return Spoil(fault_ == Fault::kBefore, real_.ClaimDue(limit));
  }

  Task<absl::Status> CheckQuota(std::string owner, std::string role, QuotaLimits limits,
                                std::optional<TokenId> gives_way) override {
    return real_.CheckQuota(std::move(owner), std::move(role), limits, std::move(gives_way));
  }
  Task<absl::StatusOr<TokenRecord>> Get(TokenId id) override {
    ++gets_;
    return real_.Get(std::move(id));
  }
  Task<absl::StatusOr<TokenList>> List(ListQuery query) override { return real_.List(std::move(query)); }
  Task<absl::StatusOr<std::optional<RequestRecord>>> FindRequest(std::string caller, RequestKey key) override {
    return real_.FindRequest(std::move(caller), std::move(key));
  }
  Task<absl::StatusOr<Counts>> Count() override { return real_.Count(); }
  Task<absl::StatusOr<std::vector<std::int64_t>>> ActiveAmong(std::string instance,
                                                              std::vector<MadeUpstream> tokens) override {
    return real_.ActiveAmong(std::move(instance), std::move(tokens));
  }
  Task<absl::StatusOr<std::vector<TokenRecord>>> ListUnseen(WallTime since, int skip, int limit) override {
    return real_.ListUnseen(since, skip, limit);
  }
  Task<absl::StatusOr<std::vector<ResolvedTarget>>> ActiveTargets(std::optional<ResolvedTarget> after,
                                                                  int limit) override {
    return real_.ActiveTargets(std::move(after), limit);
  }
  bool UpstreamRestored() const override { return real_.UpstreamRestored(); }
  Task<absl::StatusOr<std::vector<AuditRecord>>> ReadAudit(AuditQuery query) override {
    ++audit_pages_;
    return real_.ReadAudit(std::move(query));
  }
  Task<absl::StatusOr<std::optional<WallTime>>> NextDue() override { return real_.NextDue(); }
  Task<absl::StatusOr<DueList>> ListDue(std::optional<DuePosition> after, int limit) override {
    return real_.ListDue(std::move(after), limit);
  }
  Task<absl::Status> BoundWaits() override { return SpoilStatus(fault_ == Fault::kBefore, real_.BoundWaits()); }
  void NoteRefusal(Refusal refusal) override { real_.NoteRefusal(std::move(refusal)); }

 private:
  static absl::Status Failure() {
    return Error(absl::StatusCode::kUnavailable, "LEDGER_UNAVAILABLE", "the disk is full").RetryAfter(seconds(1));
  }

  Task<absl::StatusOr<DurableIntent>> Slow(Task<absl::StatusOr<DurableIntent>> written) {
    absl::StatusOr<DurableIntent> intent = co_await std::move(written);
    if (clock_ != nullptr) co_await clock_->SleepUntil(clock_->Boot() + begin_takes_);
    co_return intent;
  }
  // A task that is never awaited never runs: that is the fault before. The one after is looked at when it is over.
  template <typename T>
  Task<absl::StatusOr<T>> Spoil(bool before, Task<absl::StatusOr<T>> real) {
    if (before) co_return Failure();
    absl::StatusOr<T> result = co_await std::move(real);
    if (fault_ == Fault::kAfter) co_return Failure();
    co_return result;
  }
  Task<absl::Status> SpoilStatus(bool before, Task<absl::Status> real) {
    if (before) co_return Failure();
    const absl::Status result = co_await std::move(real);
    if (fault_ == Fault::kAfter) co_return Failure();
    co_return result;
  }

  Ledger& real_;
  std::atomic<int> audit_pages_ = 0;
  std::atomic<int> gets_ = 0;
  Fault fault_ = Fault::kNone;
  Clock* clock_ = nullptr;
  Duration begin_takes_{0};
  std::function<void()> before_activate_;
};

}  // namespace tokenbroker
