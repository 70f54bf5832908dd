#pragma once
// What a policy may say and hardly means.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config/policy_text.h"

namespace tokenbroker {

// Warnings, each with its place: "policy.yaml:9:7: roles.reader: no binding names this role". They are about
//   - two target patterns of one kind that differ in the case of letters alone, which decides nothing,
//   - roles that no binding names, callers that none names, and a binding that stands twice,
//   - self_extending: true without a scope that needs it.
// The error is that of ParsePolicyText. The policy must compile; what does not is CompilePolicyText's to tell.
absl::StatusOr<std::vector<std::string>> LintPolicyText(const PolicyText& policy);

}  // namespace tokenbroker
