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
//   - self_extending: true without a scope that needs it, and with one, since such tokens outlive their ttl,
//   - verbs and targets that the broker does not serve yet,
//   - denies of projects or groups beside grants of users or service accounts, whose tokens reach them too,
//   - captures that match more than their author may think,
//   - names of instances and issuers, if `names_checked` is false: the policy was compiled without a configuration.
// The error is that of ParsePolicyText. The policy must compile; what does not is CompilePolicyText's to tell.
absl::StatusOr<std::vector<std::string>> LintPolicyText(const PolicyText& policy, bool names_checked);

}  // namespace tokenbroker
