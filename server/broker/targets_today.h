#pragma once
// Targets of live tokens that are not what they were when the tokens were made, as GitLab says today: elsewhere, an
// administrator, blocked. A live token on such a target may be one that the policy would deny now.

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/base/task.h"
#include "server/broker/broker.h"
#include "server/domain/target.h"
#include "server/policy/policy.h"

namespace tokenbroker {

// Immutable once it is shared: a reader on any thread needs no lock.
class TargetsToday {
 public:
  // Notes what GitLab says today of a target, as rows have it. False, and nothing is noted, if it is as it was.
  bool Add(const ResolvedTarget& target, const TargetFacts& facts);
  // Takes over what `other` has of a target, if it has something.
  void Keep(const ResolvedTarget& target, const TargetsToday& other);

  bool empty() const { return facts_.empty(); }
  bool Contains(const ResolvedTarget& target) const { return facts_.contains(KeyOf(target)); }

  // What the policy says if the owner of a token asked for it at `now`, by these facts of its target, or else by where
  // its target was when it was made.
  Decision Judge(const Policy& policy, const Token& token, WallTime now) const;

 private:
  static std::string KeyOf(const ResolvedTarget& target);

  std::map<std::string, TargetFacts> facts_;
};

// How many ACTIVE tokens the policy would deny now because of `targets`. Reads every ACTIVE row, a page at a time.
// Runs on the executor. Errors are the ledger's.
Task<absl::StatusOr<std::int64_t>> CountDeniedByTarget(BrokerParts parts, std::shared_ptr<const TargetsToday> targets);

}  // namespace tokenbroker
