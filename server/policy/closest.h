#pragma once
// What to ask for instead: see Policy::Closest. Looks at every grant of the caller, so it is for whoever wants an
// explanation, not for every decision.

#include <optional>

#include "server/policy/engine.h"

namespace tokenbroker {

// What is in force for the caller. Refers to the engine's own.
struct RulesInForce {
  const GrantIndex& grants;
  const GrantIndex& denies;
  const PolicyOptions& options;
};

std::optional<AccessRequest> ClosestAllowed(const RulesInForce& rules, const Caller& caller,
                                            const AccessRequest& request, const TargetFacts* facts);

}  // namespace tokenbroker
