#pragma once
// Bearer tokens of several issuers.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/identity/bearer.h"
#include "server/identity/jwt.h"
#include "server/identity/key_fetcher.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

struct TrustedIssuer {
  JwtRules rules;
  // Where its keys are: a file, see file_keys.h, or (if that is empty) a discovery document.
  std::string key_file;
  Discovery discovery;
  Duration refresh = minutes(10);  // Between scheduled fetches; not for files.
};

// Issuers have names of their own. Until an issuer's keys are there, which nobody waits for, its tokens are refused.
// All by reference must outlive the verifier.
std::unique_ptr<BearerVerifier> OpenBearerVerifier(std::vector<TrustedIssuer> issuers, Clock& clock, Random& random,
                                                   Metrics& metrics, Log& log);

// Reads a file of keys as a verifier would, before there is one. INVALID_ARGUMENT, reason CONFIG_INVALID, naming the
// file, if it cannot be read or holds no usable key.
absl::Status CheckKeyFile(const std::string& path);

// A verifier with another source of keys.
struct IssuerWithFetcher {
  JwtRules rules;
  Duration refresh = minutes(10);
  std::unique_ptr<KeyFetcher> fetcher;
};
std::unique_ptr<BearerVerifier> MakeBearerVerifier(std::vector<IssuerWithFetcher> issuers, Clock& clock, Random& random,
                                                   Metrics& metrics, Log& log);

}  // namespace tokenbroker
