#pragma once
// Who calls.

#include <string>
#include <vector>

namespace tokenbroker {

// A caller that was recognised.
struct Caller {
  std::string name;      // The owner of its tokens; the key of quota, request_id, audit and metrics.
  std::string identity;  // What was matched: "spiffe://td/path" or "dns:host".
};

// A caller as the policy describes it.
struct CallerRule {
  std::string name;
  std::vector<std::string> spiffe_ids;  // Compared exactly.
  std::vector<std::string> dns_names;   // Lower case; compared without case.
};

}  // namespace tokenbroker
