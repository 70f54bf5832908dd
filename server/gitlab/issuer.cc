#include "server/gitlab/issuer.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/error.h"

namespace tokenbroker {
namespace {

constexpr Duration kLookEvery = seconds(2);
constexpr Duration kProbeEvery = seconds(60);
constexpr std::size_t kLongest = 4096;

absl::Status BadFile(const std::string& path, std::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "ISSUER_FILE_INVALID",
               "the issuer file " + path + " " + std::string(what) +
                   ": it must hold GitLab's token in one line, without anything else");
}

}  // namespace

absl::StatusOr<Secret> ReadIssuerFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return Error(absl::StatusCode::kNotFound, "ISSUER_FILE_INVALID", "the issuer file " + path + " cannot be read");
  }
  std::string text;
  text.reserve(2 * kLongest);
  text.resize(kLongest + 2);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.ends_with('\n')) text.pop_back();
  const bool lines = text.find('\n') != std::string::npos;
  const bool control = std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; });
  const bool blank = text.find(' ') != std::string::npos;
  const std::size_t size = text.size();
  Secret secret = Secret::TakeFrom(text);
  if (size == 0) return BadFile(path, "is empty");
  if (lines) return BadFile(path, "has more than one line");
  if (control) return BadFile(path, "contains a control character or one that is not ASCII");
  if (blank) return BadFile(path, "contains a blank");
  if (size > kLongest) return BadFile(path, "is longer than 4096 bytes");
  return secret;
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
