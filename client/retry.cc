#include "client/retry.h"

#include <algorithm>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

Duration Scaled(Duration delay, double factor) {
  return Duration(static_cast<Duration::rep>(static_cast<double>(delay.count()) * factor));
}

}  // namespace

std::optional<Duration> NextDelay(const RetryPolicy& policy, const absl::Status& failure, int attempts_made,
                                  Duration left, Duration needed, double jitter) {
  const std::optional<Duration> asked = RetryAfterOf(failure);
  const bool again = absl::IsUnavailable(failure) || (absl::IsAborted(failure) && asked.has_value());
  if (!again || attempts_made >= policy.max_attempts) return std::nullopt;

  Duration backoff = policy.first_delay;
  for (int i = 1; i < attempts_made && backoff < policy.longest_delay; ++i) backoff *= 2;
  Duration delay = Scaled(std::min(backoff, policy.longest_delay), 0.5 + jitter / 2);
  // Compared before it is scaled: what a broker asks for has no bound.
  if (asked.has_value() && *asked >= left) return std::nullopt;
  if (asked.has_value()) delay = std::max(delay, Scaled(*asked, 1 + jitter / 10));
  if (delay + needed >= left) return std::nullopt;
  return delay;
}

}  // namespace tokenbroker
