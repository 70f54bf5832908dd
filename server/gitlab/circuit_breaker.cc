#include "server/gitlab/circuit_breaker.h"

#include <algorithm>

namespace tokenbroker {
namespace {

// More targets than this that fail at a time are not told apart.
constexpr std::size_t kTargetsMax = 10'000;

}  // namespace

CircuitBreaker::Change CircuitBreaker::RecordFailure(const std::string& target, BootTime now) {
  if (is_open()) return Change::kNone;
  ++failures_[target];
  if (IsOutage()) {
    open_since_ = now;
    next_probe_ = now + kProbeEvery;
    return Change::kOpened;
  }
  if (target.empty() || (!targets_.contains(target) && targets_.size() >= kTargetsMax)) return Change::kNone;
  Target& failing = targets_[target];
  if (++failing.failures != kFailuresToOpen) return Change::kNone;
  failing.interval = kProbeEvery;
  failing.last_probe = now;
  next_of_target_[target] = now + failing.interval;
  return Change::kTargetOpened;
}

CircuitBreaker::Change CircuitBreaker::RecordResponse(const std::string& target, BootTime now) {
  failures_.clear();
  last_response_ = now;
  if (is_open()) {
    // What the targets failed by may have been the outage alone.
    open_since_.reset();
    targets_.clear();
    next_of_target_.clear();
    return Change::kClosed;
  }
  targets_.erase(target);
  return next_of_target_.erase(target) > 0 ? Change::kClosed : Change::kNone;
}

bool CircuitBreaker::IsOutage() const {
  int all = 0;
  int most = 0;
  for (const auto& [target, failures] : failures_) {
    all += failures;
    most = std::max(most, failures);
  }
  return all >= kFailuresToOpen && all - most >= kFailuresOfOthers;
}

void CircuitBreaker::RecordSent(const std::string& target, BootTime now) {
  if (is_open()) next_probe_ = now + kProbeEvery;
  const auto open = next_of_target_.find(target);
  if (open == next_of_target_.end()) return;
  Target& failing = targets_[target];
  // Only while others respond: else it may be an outage, which ends for all at once.
  if (last_response_ >= failing.last_probe) failing.interval = std::min(2 * failing.interval, kLongestTargetInterval);
  failing.last_probe = now;
  open->second = now + failing.interval;
}

BootTime CircuitBreaker::NextFor(const std::string& target) const {
  if (is_open()) return next_probe_;
  const auto open = next_of_target_.find(target);
  return open == next_of_target_.end() ? BootTime() : open->second;
}

BootTime CircuitBreaker::NextProbe(BootTime now) const {
  BootTime next = kNever;
  if (is_open() && next_probe_ > now) return next_probe_;
  for (const auto& [target, probe] : next_of_target_) {
    if (probe > now) next = std::min(next, probe);
  }
  return next;
}

bool CircuitBreaker::IsTargetOpen(const std::string& target) const { return next_of_target_.contains(target); }

}  // namespace tokenbroker
