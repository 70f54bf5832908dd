#pragma once
// A GitLab whose outcomes are reported to the circuit breaker of Slots, with one log line for each opening and closing.

#include <string>

#include "absl/status/status.h"
#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/gitlab/gitlab.h"
#include "server/gitlab/slots.h"
#include "server/telemetry/log.h"

namespace tokenbroker {

// As GitLab. All of its parameters outlive it.
class ObservedGitLab final : public GitLab {
 public:
  ObservedGitLab(GitLab& real, Slots& slots, Clock& clock, Log& log)
      : real_(real), slots_(slots), clock_(clock), log_(log) {}

  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override;
  Task<Ended<Deleted>> Revoke(CallContext call, UpstreamRef ref) override;
  Task<absl::StatusOr<std::optional<UpstreamToken>>> GetToken(CallContext call, UpstreamRef ref) override;
  Task<absl::StatusOr<bool>> ConfirmNotFound(CallContext call, UpstreamRef ref) override;
  Task<absl::StatusOr<std::vector<UpstreamToken>>> ListTokens(CallContext call, UpstreamQuery query) override;
  Task<absl::StatusOr<TargetFacts>> Resolve(CallContext call, Target target) override;
  Task<absl::StatusOr<ResolvedTarget>> TargetOf(CallContext call, std::string instance, std::int64_t user_id) override;
  Task<absl::StatusOr<IssuerFacts>> CheckIssuer(CallContext call) override;
  std::optional<UpstreamTime> Time() const override { return real_.Time(); }

 private:
  // A read about `target` that began at `began` ended with `status`.
  void Record(const std::string& target, const CallContext& call, BootTime began, const absl::Status& status);
  void RecordFailure(const std::string& target, const absl::Status& status);
  void RecordResponse(const std::string& target);

  GitLab& real_;
  Slots& slots_;
  Clock& clock_;
  Log& log_;
};

}  // namespace tokenbroker
