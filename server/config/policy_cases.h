#pragma once
// Cases that a policy must decide as they say. The schema is proto/tokenbroker/config/v1/policy_cases.proto.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/policy/policy.h"

namespace tokenbroker {

struct CaseResult {
  std::string name;
  std::string position;  // "cases.yaml:3:5"
  // Empty if the case holds; else what was decided instead, and by which rule.
  std::string difference;
};

// Runs the cases of a file. Errors are INVALID_ARGUMENT, reason CONFIG_INVALID, with the place before the message: a
// case that cannot be one says nothing of the policy.
absl::StatusOr<std::vector<CaseResult>> RunPolicyCases(const std::string& file, const Policy& policy, WallTime now);

}  // namespace tokenbroker
