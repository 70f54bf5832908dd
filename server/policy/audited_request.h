#pragma once
// What was asked, as the audit keeps it: enough to put the question to another policy.

#include <string>

#include "server/domain/caller.h"
#include "server/domain/target.h"
#include "server/policy/policy.h"

namespace tokenbroker {

// The JSON form of AuditedRequest in proto/tokenbroker/v1/audit_body.proto, one object. `facts`: what GitLab said of
// the target; null if it was not asked.
std::string AuditedRequestJson(const Caller& caller, const AccessRequest& request, const TargetFacts* facts);

}  // namespace tokenbroker
