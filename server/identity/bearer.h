#pragma once
// What a verified JWT bearer token says, and the door behind which tokens are verified.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/clock.h"

namespace tokenbroker {

struct BearerFacts {
  std::string issuer;   // `iss`, exactly as it was compared.
  std::string subject;  // `sub`.
  // Every other claim that is a text, a whole number or a boolean ("true", "false"), by name; those of objects within
  // by their path, as in "kubernetes.io/namespace".
  std::map<std::string, std::string> claims;
  // The claims whose value is a list, by name or path, with their elements of these kinds ("groups"). A name is in one
  // of the two maps.
  std::map<std::string, std::vector<std::string>> claim_lists = {};
};

// Thread-safe.
class BearerVerifier {
 public:
  virtual ~BearerVerifier() = default;

  // Never waits: a token whose key is not known is refused, and may cause the issuer's keys to be fetched again.
  // UNAUTHENTICATED, reason TOKEN_INVALID, with one text for every fault as the caller sees it; what is wrong is in the
  // message's text for the log alone. The token itself appears in neither.
  virtual absl::StatusOr<BearerFacts> Verify(std::string_view token, WallTime now) = 0;
};

}  // namespace tokenbroker
