#pragma once
// The live tokens at GitLab that end together with a row: what carries the marker of the row's name and no other row
// accounts for. A holder makes such a token when it rotates one (GitLab copies the name): its own, or any other token
// of the same GitLab user, with the scope api. Something between the broker and GitLab makes one when it sends a POST
// twice.

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/task.h"
#include "server/broker/broker.h"

namespace tokenbroker {

// How long after a POST, and by clocks that differ how long before, its duplicate is made.
inline constexpr Duration kDuplicateWithin = minutes(10);

// Requests to GitLab of one ListDescendants, at most, for up to a hundred tokens: an administrator's credential proves
// its rights before the list of everybody's tokens is believed.
inline constexpr int kDescendantRequests = 2;

// Live tokens whose name ends in the marker that `token`'s name ends in, without `token` itself and what other ACTIVE
// rows own. They belong to the same GitLab user or to one of `users`; a project's, whose every POST makes a bot user,
// may belong to any if it was created within kDuplicateWithin of the row. An empty list proves nothing that is younger
// than a replica's lag. The list is made under a permit for `request`. Errors are GitLab's (see GitLab::ListTokens),
// those of Slots::Acquire and the ledger's.
Task<absl::StatusOr<std::vector<UpstreamToken>>> ListDescendants(BrokerParts parts, std::string broker, Duration settle,
                                                                 SlotRequest request, Token token,
                                                                 std::set<std::int64_t> users);

}  // namespace tokenbroker
