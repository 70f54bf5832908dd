#include "server/gitlab/slot_request.h"

#include <algorithm>

#include "server/base/error.h"
#include "server/gitlab/circuit_breaker.h"

namespace tokenbroker {

std::string SlotTarget(const ResolvedTarget& target) {
  return std::string(NameOf(target.kind)) + ':' + std::to_string(target.id);
}

std::string SlotTarget(const Target& target) { return std::string(NameOf(target.kind)) + ':' + LowerCase(target.ref); }

absl::Status BusyError() {
  return Error(absl::StatusCode::kUnavailable, "UPSTREAM_BUSY", "too many calls wait for GitLab; nothing was sent")
      .RetryAfter(seconds(1));
}

absl::Status PausedError(Duration left) {
  return Error(absl::StatusCode::kResourceExhausted, "UPSTREAM_RATE_LIMITED",
               "GitLab asks for a pause that is longer than the call's deadline; nothing was sent")
      .RetryAfter(left);
}

absl::Status WaitedTooLongError() {
  return absl::DeadlineExceededError("the deadline passed while waiting for GitLab; nothing was sent");
}

absl::Status HeldBackError(Duration left) {
  return Error(absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE",
               "GitLab, or this target at GitLab, did not respond to the last requests; nothing was sent")
      .RetryAfter(std::max<Duration>(left, CircuitBreaker::kProbeEvery));
}

absl::Status CancelledWaitError() {
  return absl::CancelledError("the caller left while waiting for GitLab; nothing was sent");
}

}  // namespace tokenbroker
