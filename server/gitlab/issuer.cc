#include "server/gitlab/issuer.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "server/base/error.h"
#include "server/base/secret_file.h"

namespace tokenbroker {
namespace {

constexpr Duration kProbeEvery = seconds(60);

absl::Status InFile(const absl::Status& why) {
  return Error(why.code(), "ISSUER_FILE_INVALID", "the issuer file " + std::string(why.message()));
}

}  // namespace

absl::StatusOr<Secret> ReadIssuerFile(const std::string& path) {
  absl::StatusOr<Secret> secret = ReadSecretFile(path);
  if (!secret.ok()) return InFile(secret.status());
  return secret;
}

absl::StatusOr<std::unique_ptr<Issuer>> Issuer::Open(const std::string& path, Clock& clock, Metrics& metrics,
                                                     Log& log) {
  std::unique_ptr<Issuer> issuer(new Issuer(path, clock, metrics, log));
  const absl::Status loaded = issuer->file_.Load();
  if (!loaded.ok()) return InFile(loaded);
  issuer->file_.Start();
  return issuer;
}

Issuer::Issuer(std::string path, Clock& clock, Metrics& metrics, Log& log)
    : path_(std::move(path)),
      clock_(clock),
      metrics_(metrics),
      log_(log),
      file_(
          "gitlab_credential", {path_}, [this](const WatchedFiles::Contents& contents) { return TakeFile(contents); },
          clock, metrics, log) {}

absl::Status Issuer::TakeFile(const WatchedFiles::Contents& contents) {
  absl::StatusOr<Secret> fresh = ParseSecretText(path_, contents[0]);
  if (!fresh.ok()) return fresh.status();
  struct stat info {};
  if (stat(path_.c_str(), &info) == 0 && (info.st_mode & S_IROTH) != 0) {
    log_.Warn("everybody on this machine may read the issuer file", {{"file", path_}});
  }
  if (fresh->Reveal() == secret_.Reveal()) return absl::OkStatus();
  const bool is_first = secret_.empty();
  secret_ = *std::move(fresh);
  if (is_first) return absl::OkStatus();
  ++generation_;
  dead_ = false;
  metrics_.SetIssuer(true, 0);
  log_.Info("issuer file taken up", {{"file", path_}});
  return absl::OkStatus();
}

absl::StatusOr<Secret> Issuer::Take() {
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
