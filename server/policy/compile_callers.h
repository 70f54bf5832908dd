#pragma once
// The `callers` section of a policy.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/domain/caller_rule.h"
#include "tokenbroker/config/v1/policy.pb.h"

namespace tokenbroker {

// In the order of the file. Errors as those of Policy::Compile.
absl::StatusOr<std::vector<CallerRule>> CompileCallers(const config::v1::Policy& source);

// The captures that every identity of a caller has, by the caller's name as it is written.
std::map<std::string, std::set<std::string>> CapturesOf(const std::vector<CallerRule>& callers);

}  // namespace tokenbroker
