#pragma once
// What a request must look like before anybody is asked anything. All that is wrong is told at once, field by field,
// with the rule.

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/broker/broker.h"

namespace tokenbroker {

// OK, or INVALID_ARGUMENT, reason FIELD_INVALID. `now` is the ledger's.
absl::Status ValidateCreate(const CreateRequest& request, std::string_view instance, WallTime now);

// The same, for what is asked of a target alone.
absl::Status ValidateTarget(const Target& target, std::string_view instance);

// Whether `text` is an UUID of version 4 (RFC 9562), in either case.
bool IsUuid4(std::string_view text);

// The canonical form of a request's parameters as a digest: equal for repeats, whatever the order of scopes and labels
// or the case of a path.
std::string DigestOf(std::string_view method, const CreateRequest& request);

}  // namespace tokenbroker
