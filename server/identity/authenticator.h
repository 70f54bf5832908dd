#pragma once
// From what a TLS peer proved to a caller. Plain facts in, so that nothing here knows gRPC.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/domain/caller.h"

namespace tokenbroker {

// What the peer's verified certificate says. The common name is not among it, on purpose.
struct PeerFacts {
  std::vector<std::string> uris;       // Every URI SAN.
  std::vector<std::string> dns_names;  // Every DNS SAN, as spelt.
  std::optional<WallTime> not_after;   // The certificate's end.
};

// Recognises the caller among `rules`. The checks are made on every call, since a connection may outlive a certificate.
// Errors:
//   UNAUTHENTICATED, CERTIFICATE_EXPIRED   now is not before not_after (or there is none)
//   UNAUTHENTICATED, IDENTITY_INVALID      a SPIFFE id beside another URI SAN, a malformed one, a byte that has no
//   place PERMISSION_DENIED, UNKNOWN_CALLER      no rule matches, or more than one caller would
absl::StatusOr<Caller> Authenticate(const PeerFacts& peer, const std::vector<CallerRule>& rules, WallTime now);

}  // namespace tokenbroker
