#pragma once
// One grant or deny, from the text's message to what decides.

#include <string>

#include "absl/status/statusor.h"
#include "server/policy/engine.h"

namespace tokenbroker {

// `at` is its place, as in the errors, which are those of Policy::Compile. The rule's role and position are the
// caller's to set.
absl::StatusOr<CompiledGrant> CompileGrant(const config::v1::Grant& source, const std::string& at,
                                           const PolicyOptions& options);
absl::StatusOr<CompiledGrant> CompileDeny(const config::v1::Grant& source, const std::string& at,
                                          const PolicyOptions& options);

}  // namespace tokenbroker
