#include "server/identity/file_keys.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace tokenbroker {

FileKeys::FileKeys(std::string issuer, std::string path, Clock& clock, Metrics& metrics, Log& log)
    : issuer_(std::move(issuer)),
      path_(std::move(path)),
      clock_(clock),
      metrics_(metrics),
      log_(log),
      files_({absl::StrCat("jwt_keys:", issuer_), WatchedFiles::ReadPaths({path_}),
              [this](const WatchedFiles::Contents& contents) { return Take(contents); },
              [this](const absl::Status& taken) { Report(taken); }},
             clock, metrics, log) {
  metrics_.SetJwtKeys(issuer_, 0, WallTime());
  files_.LoadOrWait();
  files_.Start();
}

std::shared_ptr<const KeySet> FileKeys::Current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

absl::Status FileKeys::Take(const WatchedFiles::Contents& contents) {
  absl::StatusOr<KeySet> keys = KeySet::Parse(contents[0]);
  if (!keys.ok()) return absl::InvalidArgumentError(absl::StrCat(path_, ": ", keys.status().message()));
  auto current = std::make_shared<const KeySet>(*std::move(keys));
  const std::lock_guard lock(mutex_);
  current_ = std::move(current);
  return absl::OkStatus();
}

void FileKeys::Report(const absl::Status& taken) {
  const std::shared_ptr<const KeySet> keys = Current();
  const int size = keys == nullptr ? 0 : static_cast<int>(keys->size());
  metrics_.JwtKeysFetched(issuer_, taken.ok() ? "done" : "unusable");
  std::string failure(taken.message());
  if (taken.ok()) {
    metrics_.SetJwtKeys(issuer_, size, clock_.Now());
    log_.Info("JWT keys taken up",
              {{"issuer", issuer_}, {"keys", size}, {"skipped", static_cast<int>(keys->skipped())}});
  } else if (failure != failure_) {
    log_.Warn("JWT keys not taken up", {{"issuer", issuer_}, {"error", failure}, {"keys", size}});
  }
  failure_ = std::move(failure);
}

}  // namespace tokenbroker
