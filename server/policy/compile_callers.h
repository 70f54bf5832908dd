#pragma once
// The `callers` section of a policy.

#include <vector>

#include "absl/status/statusor.h"
#include "server/domain/caller_rule.h"
#include "tokenbroker/config/v1/policy.pb.h"

namespace tokenbroker {

// In the order of the file. Errors as those of Policy::Compile.
absl::StatusOr<std::vector<CallerRule>> CompileCallers(const config::v1::Policy& source);

}  // namespace tokenbroker
