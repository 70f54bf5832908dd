#pragma once
// From what a peer proved to a caller. Plain facts in, so that nothing here knows gRPC.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/domain/caller.h"
#include "server/domain/caller_rule.h"
#include "server/identity/bearer.h"

namespace tokenbroker {

// What the peer's verified certificate says. The common name is not among it, on purpose.
struct CertificateFacts {
  std::vector<std::string> uris;       // Every URI SAN.
  std::vector<std::string> dns_names;  // Every DNS SAN, as spelt.
  std::optional<WallTime> not_after;   // The certificate's end.
  bool spiffe_vouched = true;          // Its chain ends at an authority of its SPIFFE id's trust domain.
  bool dns_vouched = true;             // Its chain ends at an authority that may vouch for DNS names.
  bool revoked = false;                // A revocation list names it, or an authority above it.
};

// The trust domain of the first SPIFFE id among `uris`, as spelt; empty if there is none.
std::string TrustDomainOf(const std::vector<std::string>& uris);

struct PeerFacts {
  std::optional<CertificateFacts> certificate;
  std::optional<BearerFacts> bearer;
};

// The callers of one policy, found by what they show. Immutable and thread-safe; `rules` must outlive it.
class CallerIndex {
 public:
  // `trust_domains`: those whose SPIFFE ids are taken, in lower case; empty: every one that the client authorities
  // vouch for.
  CallerIndex(const std::vector<CallerRule>& rules, std::vector<std::string> trust_domains);
  ~CallerIndex();
  CallerIndex(const CallerIndex&) = delete;
  CallerIndex& operator=(const CallerIndex&) = delete;

  // Recognises the caller. The checks are made on every call, since a connection may outlive a certificate. Literal
  // identities are found by a look-up; those with open places are tried one after the other.
  // Errors; their texts are for the log:
  //   UNAUTHENTICATED, CERTIFICATE_EXPIRED   now is not before not_after (or there is none)
  //   UNAUTHENTICATED, CERTIFICATE_REVOKED
  //   UNAUTHENTICATED, IDENTITY_INVALID      nothing was shown; a SPIFFE id beside another URI SAN, a malformed one,
  //   one
  //                                          of another trust domain, or that no authority of its trust domain vouches
  //                                          for, a byte that has no place
  //   PERMISSION_DENIED, UNKNOWN_CALLER      no rule matches, or more than one caller would
  absl::StatusOr<Caller> Recognise(const PeerFacts& peer, WallTime now) const;

  // Whether a peer with this certificate may be a caller: alone, or, if `bearer_may_follow`, beside some bearer token.
  // Errors as above.
  absl::Status CheckCertificate(const CertificateFacts& certificate, bool bearer_may_follow, WallTime now) const;

 private:
  struct Entries;

  const std::vector<std::string> trust_domains_;
  const std::unique_ptr<const Entries> entries_;
};

}  // namespace tokenbroker
