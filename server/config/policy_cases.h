#pragma once
// Cases that a policy must decide as they say. The schema is proto/tokenbroker/config/v1/policy_cases.proto.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/config/policy_text.h"
#include "server/policy/policy.h"

namespace tokenbroker {

struct CaseResult {
  std::string name;
  std::string position;  // "cases.yaml:3:5"
  // Empty if the case holds; else what was decided instead, and by which rule.
  std::string difference;
  // What is true of the policy and not of the broker: it does not serve this yet. Empty: nothing.
  std::string warning = {};
};

// The instances that a case may name. Of a single one, it need not.
struct CaseInstances {
  std::vector<std::string> names;
  bool are_all = false;  // They come from the configuration: any other is an error of the case.
};

// Those that the policy's rules name.
absl::StatusOr<CaseInstances> InstancesOf(const PolicyText& policy);

// Runs the cases of a file. Errors are INVALID_ARGUMENT, reason CONFIG_INVALID, with the place before the message: a
// case that cannot be one says nothing of the policy.
absl::StatusOr<std::vector<CaseResult>> RunPolicyCases(const std::string& file, const Policy& policy, WallTime now,
                                                       const CaseInstances& instances = {});

}  // namespace tokenbroker
