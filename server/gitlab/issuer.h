#pragma once
// The broker's own credential at GitLab, in a file that an operator may exchange at any time: see
// server/files/watched_files.h.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/secret.h"
#include "server/files/watched_files.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

// Reads the credential, as ReadSecretFile does; the reason is ISSUER_FILE_INVALID.
absl::StatusOr<Secret> ReadIssuerFile(const std::string& path);

// Runs on the executor alone.
//
// A credential that GitLab calls revoked or expired is silent from that moment: GitLab bans addresses that go on
// knocking with dead tokens, and healthy neighbours with them. It is tried again once a minute, and when its file
// changes.
class Issuer {
 public:
  static absl::StatusOr<std::unique_ptr<Issuer>> Open(const std::string& path, Clock& clock, Metrics& metrics,
                                                      Log& log);

  // The credential for one request. UNAVAILABLE, reason ISSUER_DEAD with RetryAfter, while it is silent.
  absl::StatusOr<Secret> Take();

  // GitLab said that the credential `used` is dead. Nothing happens if the file holds another one by now.
  void ProveDead(std::string_view used);
  // A request with the credential `used`, begun at `began`, did what it was to do. Nothing happens if the credential
  // was proved dead after that: what was under way says nothing about now.
  void ProveAlive(std::string_view used, BootTime began);

  // Grows with each other credential that is taken up: what was learned about the one before is not true of it.
  std::uint64_t generation() const { return generation_; }

  // For blotting it out of texts.
  std::string_view Reveal() const { return secret_.Reveal(); }

 private:
  Issuer(std::string path, Clock& clock, Metrics& metrics, Log& log);
  absl::Status TakeFile(const WatchedFiles::Contents& contents);

  const std::string path_;
  Clock& clock_;
  Metrics& metrics_;
  Log& log_;
  Secret secret_;
  std::uint64_t generation_ = 0;
  bool dead_ = false;
  BootTime dead_since_{};
  BootTime next_probe_{};
  WatchedFiles file_;  // Last: it calls TakeFile.
};

}  // namespace tokenbroker
