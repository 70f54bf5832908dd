#pragma once
// A circuit breaker: holds requests back while GitLab does not respond, so that an outage costs GitLab one request a
// second instead of every due token's, and while one target does not respond though GitLab does. "No response" means no
// connection, no complete response in time, a 5xx, or one that GitLab did not write. Pure: the caller brings the time.

#include <map>
#include <optional>
#include <string>

#include "server/base/clock.h"

namespace tokenbroker {

// Not thread-safe.
class CircuitBreaker {
 public:
  // Single requests fail now and then, and two or three of one cause (a connection that ends); five in a row without
  // any response between them are an outage, and even a slow GitLab has cost no more than five timeouts then.
  static constexpr int kFailuresToOpen = 5;
  // So many of them are of other targets than the one that failed most: one that fails alone stops nobody else.
  static constexpr int kFailuresOfOthers = 2;
  static constexpr Duration kProbeEvery = std::chrono::seconds(1);
  // A target that does not respond while others do: a second, then twice as long, up to this. So soon after its return,
  // or that of a GitLab to which requests about no other target were sent, what was due is revoked.
  static constexpr Duration kLongestTargetInterval = std::chrono::seconds(15);

  // What a failure or a response has changed.
  enum class Change { kNone, kOpened, kClosed, kTargetOpened };

  // A request about `target` had no response; empty: it was about none. Opens the instance's circuit after
  // kFailuresToOpen in a row without any response, the target's after as many of its own.
  Change RecordFailure(const std::string& target, BootTime now);
  // GitLab responded. Closes the instance's circuit with all of its targets', else the target's.
  Change RecordResponse(const std::string& target, BootTime now);
  // A request leaves. Where a circuit is open it is the probe, and the next one waits for its time.
  void RecordSent(const std::string& target, BootTime now);

  // Whether a request about `target` may leave now: nothing that concerns it is open, or a probe is due.
  bool MayLeave(const std::string& target, BootTime now) const { return NextFor(target) <= now; }
  // From when on a request about `target` may leave; the past if now.
  BootTime NextFor(const std::string& target) const;
  // When the next probe of any kind is due after `now`; kNever if none is.
  BootTime NextProbe(BootTime now) const;

  bool is_open() const { return open_since_.has_value(); }
  std::optional<BootTime> open_since() const { return open_since_; }
  bool IsTargetOpen(const std::string& target) const;
  // Targets whose circuit is open.
  const std::map<std::string, BootTime>& open_targets() const { return next_of_target_; }

 private:
  struct Target {
    int failures = 0;  // In a row.
    Duration interval{0};
    BootTime last_probe{};
  };

  bool IsOutage() const;

  std::map<std::string, int> failures_;  // By target, since GitLab last responded.
  std::optional<BootTime> open_since_;
  BootTime next_probe_{};
  BootTime last_response_{};
  std::map<std::string, Target> targets_;           // That have failed since they last responded.
  std::map<std::string, BootTime> next_of_target_;  // Of those that are open: when a probe may leave.
};

}  // namespace tokenbroker
