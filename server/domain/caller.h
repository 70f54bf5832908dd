#pragma once
// Who calls.

#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace tokenbroker {

// A caller that was recognised.
struct Caller {
  std::string name;      // The owner of its tokens; the key of quota, request_id, audit and metrics.
  std::string identity;  // What was matched: "spiffe://td/path", "dns:host" or "jwt:issuer sub".
  // The name as the policy writes it, where it is made from captures ("team-{team}" of "team-blue"); else empty.
  std::string rule = {};
  // What the identity's captures caught, by their names. They stand for "{name}" in target patterns.
  std::map<std::string, std::string> captures = {};
  // Recognises the same peer again, by the policy and the time of that moment; fails as a call of it would. Empty: the
  // caller stays who it was. A create that has waited asks before it decides.
  std::function<absl::StatusOr<Caller>()> recognise_again = {};
};

}  // namespace tokenbroker
