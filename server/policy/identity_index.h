#pragma once
// Finds, among thousands of identities, the few that might overlap with one, so that only these are compared exactly.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "server/domain/caller_rule.h"
#include "server/policy/affix_index.h"

namespace tokenbroker {

// Identities are grouped by what they compare (SPIFFE id, DNS name, issuer, claims) and by the number of segments of
// each; inside a group each segment has an index by its literal beginning and end, and the segment that leaves the
// fewest is used. Not thread-safe.
class IdentityIndex {
 public:
  // The identities must outlive it.
  explicit IdentityIndex(const std::vector<const IdentityRule*>& identities);

  // In ascending order, the positions before `at` of every identity that overlaps with the one at `at`, and of few
  // others: those that literal text alone does not tell apart.
  std::vector<int> FindBefore(int at);

  // How many pairs have been compared by their literal text so far: the cost of all FindBefore.
  std::int64_t compared_pairs() const { return compared_pairs_; }

 private:
  struct Part {
    const TextPattern* pattern;
    std::string shape;  // What separates its segments.
  };
  using Parts = std::map<std::string, Part>;  // By what is compared: "spiffe", "sub ISSUER", "claim ISSUER NAME".

  struct Group {
    std::vector<int> members;                                // In ascending order.
    std::map<std::string, std::string> shapes;               // By part.
    std::map<std::string, std::vector<AffixIndex>> columns;  // By part, one index a segment.
  };

  static Parts PartsOf(const IdentityRule& identity);
  static bool MayMeet(const std::map<std::string, std::string>& left, const std::map<std::string, std::string>& right);
  std::vector<int> FindInGroup(const Group& group, int at) const;
  bool MightOverlap(int left, int right) const;

  std::vector<Parts> parts_;  // By identity.
  std::vector<Group> groups_;
  std::vector<int> group_of_;               // By identity.
  std::vector<std::vector<int>> may_meet_;  // By group: the groups with whose members its own might overlap.
  std::int64_t compared_pairs_ = 0;
};

}  // namespace tokenbroker
