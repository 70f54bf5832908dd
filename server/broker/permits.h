#pragma once
// For whom and about what the broker asks for a permit of Slots. Each request to GitLab has a permit that is given back
// when its response is there: none is held over a second wait for a permit.

#include <string>
#include <utility>

#include "server/domain/target.h"
#include "server/domain/token.h"
#include "server/gitlab/slots.h"

namespace tokenbroker {

inline SlotRequest PermitFor(Lane lane, std::string caller, const ResolvedTarget& target) {
  return {lane, std::move(caller), SlotTarget(target)};
}

// For a token's owner, about its target.
inline SlotRequest PermitFor(Lane lane, const Token& token) { return PermitFor(lane, token.owner, token.target); }

}  // namespace tokenbroker
