#pragma once
// The sections of a policy that say what callers may do: roles, bindings, denies.

#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "server/policy/engine.h"

namespace tokenbroker {

// A caller's rule by its name, and the captures that every one of its identities has.
using CapturesByCaller = std::map<std::string, std::set<std::string>>;

// Fills in `grants` and `denies`; `options` must be there. Errors as those of Policy::Compile.
absl::Status CompileRules(const config::v1::Policy& source, const CapturesByCaller& callers, const RuleLocator& locate,
                          CompiledPolicy& out);

}  // namespace tokenbroker
