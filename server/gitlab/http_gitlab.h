#pragma once
// GitLab over its REST API, version 4.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/gitlab/gitlab.h"
#include "server/gitlab/slots.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

struct HttpGitLabOptions {
  std::string url;          // "https://gitlab.example.com", with a path if GitLab lives below one; http on loopback.
  std::string issuer_file;  // See Issuer.
  std::string ca_file;      // Empty: the system's authorities.
  std::string proxy;        // Empty: none, whatever the environment says.
  int max_connections = 64;
};

// Fails, in one sentence, if the issuer's file cannot be used. GitLab is not asked.
absl::StatusOr<std::unique_ptr<GitLab>> MakeHttpGitLab(const HttpGitLabOptions& options, Executor& executor,
                                                       Clock& clock, Slots& slots, Metrics& metrics, Log& log);

}  // namespace tokenbroker
