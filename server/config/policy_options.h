#pragma once
// What of the configuration a policy is compiled with.

#include "server/config/server_config.h"
#include "server/policy/policy.h"

namespace tokenbroker {

inline PolicyOptions PolicyOptionsOf(const ServerConfig& config) {
  KnownNames known;
  known.instances.push_back(config.gitlab.name);
  for (const JwtIssuerConfig& issuer : config.issuers) known.issuers.push_back(issuer.issuer);
  return {config.allow_admin_targets, known};
}

}  // namespace tokenbroker
