#include "server/gitlab/issuer.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "server/base/error.h"
#include "server/base/secret_file.h"

namespace tokenbroker {
namespace {

constexpr Duration kLookEvery = seconds(2);
constexpr Duration kProbeEvery = seconds(60);

}  // namespace

absl::StatusOr<Secret> ReadIssuerFile(const std::string& path) {
  absl::StatusOr<Secret> secret = ReadSecretFile(path);
  if (secret.ok()) return secret;
  return Error(secret.status().code(), "ISSUER_FILE_INVALID",
               "the issuer file " + std::string(secret.status().message()));
}

absl::StatusOr<std::unique_ptr<Issuer>> Issuer::Open(const std::string& path, Clock& clock, Metrics& metrics,
                                                     Log& log) {
  const Stamp stamp = StampOf(path);  // Before it is read: what changes in between is then seen as a change.
  absl::StatusOr<Secret> secret = ReadIssuerFile(path);
  if (!secret.ok()) return secret.status();
  return std::unique_ptr<Issuer>(new Issuer(path, *std::move(secret), stamp, clock, metrics, log));
}

Issuer::Issuer(std::string path, Secret secret, Stamp stamp, Clock& clock, Metrics& metrics, Log& log)
    : path_(std::move(path)), clock_(clock), metrics_(metrics), log_(log), secret_(std::move(secret)), stamp_(stamp) {}

Issuer::Stamp Issuer::StampOf(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return {};
  return {info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec, info.st_size, info.st_ino};
}

void Issuer::LookAtFile() {
  if (clock_.Boot() < next_look_) return;
  next_look_ = clock_.Boot() + kLookEvery;
  const Stamp stamp = StampOf(path_);
  if (stamp == stamp_ || stamp == Stamp()) return;  // A file that is gone for a moment changes nothing.
  absl::StatusOr<Secret> fresh = ReadIssuerFile(path_);
  if (!fresh.ok()) {
    log_.Warn("issuer file not taken up", {{"file", path_}, {"error", std::string(fresh.status().message())}});
    return;
  }
  stamp_ = stamp;
  if (fresh->Reveal() == secret_.Reveal()) return;
  secret_ = *std::move(fresh);
  ++generation_;
  dead_ = false;
  metrics_.SetIssuer(true, 0);
  log_.Info("issuer file taken up", {{"file", path_}});
}

absl::StatusOr<Secret> Issuer::Take() {
  LookAtFile();
  const BootTime now = clock_.Boot();
  if (!dead_) return secret_.Clone();
  if (now >= next_probe_) {
    next_probe_ = now + kProbeEvery;
    return secret_.Clone();
  }
  return Error(absl::StatusCode::kUnavailable, "ISSUER_DEAD",
               "the broker's own GitLab credential is revoked or expired; an operator must replace it")
      .RetryAfter(std::min<Duration>(next_probe_ - now, seconds(10)));
}

void Issuer::ProveDead(std::string_view used) {
  if (used != secret_.Reveal()) return;
  dead_since_ = clock_.Boot();
  next_probe_ = dead_since_ + kProbeEvery;
  if (std::exchange(dead_, true)) return;
  metrics_.SetIssuer(false, 0);
  log_.Error("the issuer's credential is dead: revoked or expired", {{"file", path_}});
}

void Issuer::ProveAlive(std::string_view used, BootTime began) {
  if (!dead_ || used != secret_.Reveal() || began <= dead_since_) return;
  dead_ = false;
  metrics_.SetIssuer(true, 0);
  log_.Info("the issuer's credential works again", {{"file", path_}});
}

}  // namespace tokenbroker
