#pragma once
// What GitLab's silence means.

#include "absl/status/status.h"

namespace tokenbroker {

// Whether GitLab did not respond, or not now: that says nothing about a token, and asking again soon is right. What
// else fails was rejected, and will be for long.
inline bool IsUnreachable(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status) ||
         absl::IsAborted(status) || absl::IsCancelled(status);
}

}  // namespace tokenbroker
