#pragma once
// When a failed call is sent again. Pure: no clock, no sleep.

#include <optional>

#include "absl/status/status.h"
#include "server/base/clock.h"

namespace tokenbroker {

struct RetryPolicy {
  int max_attempts = 5;                      // Of one call, the first included.
  Duration first_delay = milliseconds(100);  // Doubled each time, up to:
  Duration longest_delay = seconds(5);
};

// How long to wait before the next attempt; nothing if there shall be none. Sent again are UNAVAILABLE (nothing
// happened, or the call is one that may be repeated) and ABORTED with a retry delay; the broker's delay is never cut
// short. `left` is what remains until the deadline, `needed` what an attempt needs of it to have a chance; `jitter` is
// in [0, 1) and keeps clients that failed together from coming back together.
std::optional<Duration> NextDelay(const RetryPolicy& policy, const absl::Status& failure, int attempts_made,
                                  Duration left, Duration needed, double jitter);

}  // namespace tokenbroker
