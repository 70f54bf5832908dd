#pragma once
// The `callers` section of a policy.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/domain/caller_rule.h"
#include "server/policy/policy.h"
#include "tokenbroker/config/v1/policy.pb.h"

namespace tokenbroker {

// In the order of the file. Errors as those of Policy::Compile.
absl::StatusOr<std::vector<CallerRule>> CompileCallers(const config::v1::Policy& source,
                                                       const PolicyOptions& options = {});

// The captures that each caller's name has, and so every identity of it, by the name as it is written. Others are no
// part of the owner, and no target may use them.
std::map<std::string, std::set<std::string>> CapturesOf(const std::vector<CallerRule>& callers);

}  // namespace tokenbroker
