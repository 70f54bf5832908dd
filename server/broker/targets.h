#pragma once
// What GitLab says of a target, remembered for BrokerOptions::facts_max_age, absence for ten seconds at most. A caller
// may have GitLab look up at most 60 targets a minute that are not remembered at all, so that nobody maps an instance
// through the broker; to ask again for one that was found within the last hour costs nothing of that.

#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <tuple>

#include "absl/status/statusor.h"
#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/base/event.h"
#include "server/base/executor.h"
#include "server/base/task.h"
#include "server/domain/caller.h"
#include "server/domain/target.h"
#include "server/gitlab/gitlab.h"
#include "server/gitlab/slots.h"

namespace tokenbroker {

// Runs on the executor alone.
class Targets {
 public:
  // `max_age`: of facts, when Resolve returns them.
  Targets(Executor& executor, Clock& clock, GitLab& gitlab, Slots& slots, Duration max_age)
      : executor_(executor), clock_(clock), gitlab_(gitlab), slots_(slots), max_age_(max_age) {}

  // The facts, at most `max_age` old; many who ask for one target at the same time share one look. NOT_FOUND, reason
  // UPSTREAM_NOT_FOUND, if it does not exist or cannot be seen; RESOURCE_EXHAUSTED, reason RESOLUTIONS_EXHAUSTED; else
  // as GitLab::Resolve and Slots::Acquire.
  Task<absl::StatusOr<TargetFacts>> Resolve(CallContext call, Caller caller, Target target);
  // True if the facts that are remembered of `target` are no older than Resolve's may be, or a second.
  bool IsFresh(const Target& target) const;

 private:
  using Key = std::tuple<std::string, TargetKind, std::string>;  // Instance, kind, ref in lower case.
  struct Entry {
    absl::StatusOr<TargetFacts> facts;
    BootTime fetched;
  };
  struct Budget {
    BootTime window_end{};
    int left = 0;
  };

  static Key KeyOf(const Target& target);
  // What is remembered and fresh enough; null if nothing is.
  const absl::StatusOr<TargetFacts>* Find(const Key& key) const;
  Task<absl::StatusOr<TargetFacts>> Ask(CallContext call, std::string caller, Key key, Target target);
  absl::Status Spend(const std::string& caller);
  void Remember(const Key& key, const absl::StatusOr<TargetFacts>& facts);

  Executor& executor_;
  Clock& clock_;
  GitLab& gitlab_;
  Slots& slots_;
  const Duration max_age_;
  std::map<Key, Entry> cache_;
  std::list<Key> order_;  // Of insertion; the oldest goes first when the cache is full.
  std::map<std::string, Budget> budgets_;
  std::map<Key, Event> asking_;  // Set when GitLab has answered.
};

}  // namespace tokenbroker
