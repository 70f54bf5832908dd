#include "server/files/watched_files.h"

#include <openssl/sha.h>

#include <utility>

#include "server/base/file_text.h"
#include "server/base/secret.h"

namespace tokenbroker {
namespace {

constexpr Duration kPollEvery = seconds(1);
constexpr std::size_t kMaxBytes = std::size_t{1} << 20;

// Contents may be keys: what is kept to recognise them tells nothing of them.
std::string DigestOf(const WatchedFiles::Contents& contents) {
  std::string digests;
  for (const std::string& text : contents) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
    digests.append(reinterpret_cast<const char*>(digest), sizeof digest);
  }
  return digests;
}

std::string DigestOf(const absl::StatusOr<WatchedFiles::Snapshot>& snapshot) {
  return snapshot.ok() ? DigestOf(snapshot->contents) : std::string(snapshot.status().message());
}

void WipeAll(absl::StatusOr<WatchedFiles::Snapshot>& snapshot) {
  if (!snapshot.ok()) return;
  for (std::string& text : snapshot->contents) Wipe(text);
}

}  // namespace

absl::StatusOr<std::string> ReadWatchedFile(const std::string& path) {
  absl::StatusOr<FileText> file = ReadFileText(path);
  if (!file.ok()) return file.status();
  if (file->text.size() <= kMaxBytes) return std::move(file->text);
  Wipe(file->text);
  return absl::InvalidArgumentError(path + ": is larger than 1 MiB");
}

WatchedFiles::Read WatchedFiles::ReadPaths(std::vector<std::string> paths) {
  return [paths = std::move(paths)]() -> absl::StatusOr<Snapshot> {
    Snapshot snapshot;
    for (const std::string& path : paths) {
      absl::StatusOr<std::string> text = ReadWatchedFile(path);
      if (!text.ok()) {
        for (std::string& each : snapshot.contents) Wipe(each);
        return text.status();
      }
      snapshot.contents.push_back(*std::move(text));
    }
    return snapshot;
  };
}

WatchedFiles::WatchedFiles(Options options, Clock& clock, Metrics& metrics, Log& log)
    : name_(std::move(options.name)),
      read_(std::move(options.read)),
      take_(std::move(options.take)),
      report_(std::move(options.report)),
      clock_(clock),
      metrics_(metrics),
      log_(log) {}

WatchedFiles::WatchedFiles(std::string name, std::vector<std::string> paths, Take take, Clock& clock, Metrics& metrics,
                           Log& log)
    : WatchedFiles(Options{std::move(name), ReadPaths(std::move(paths)), std::move(take), nullptr}, clock, metrics,
                   log) {}

WatchedFiles::~WatchedFiles() {
  const std::lock_guard lock(gate_->mutex);
  gate_->closed = true;
}

absl::Status WatchedFiles::Load() {
  const std::lock_guard lock(gate_->mutex);
  absl::StatusOr<Snapshot> snapshot = read_();
  absl::Status taken = snapshot.status();
  if (snapshot.ok()) taken = take_(snapshot->contents);
  if (taken.ok()) {
    judged_ = DigestOf(snapshot);
    judged_place_ = snapshot->place;
    metrics_.SetFilesGood(name_, true, clock_.Now());
  }
  WipeAll(snapshot);
  return taken;
}

void WatchedFiles::LoadOrWait() {
  const std::lock_guard lock(gate_->mutex);
  absl::StatusOr<Snapshot> snapshot = read_();
  Judge(snapshot, DigestOf(snapshot));
  WipeAll(snapshot);
}

void WatchedFiles::Start() {
  const std::lock_guard lock(gate_->mutex);
  PollAgainLater();
}

void WatchedFiles::PollAgainLater() {
  timer_ = clock_.CallAt(clock_.Boot() + kPollEvery, [this, gate = gate_] {
    const std::lock_guard lock(gate->mutex);
    if (gate->closed) return;
    Poll();
    PollAgainLater();
  });
}

void WatchedFiles::Poll() {
  absl::StatusOr<Snapshot> snapshot = read_();
  std::string digest = DigestOf(snapshot);
  if (digest == judged_) {
    waiting_.clear();
    judged_place_ = snapshot.ok() ? snapshot->place : "";
  } else {
    const bool exchanged =
        snapshot.ok() && !snapshot->place.empty() && !judged_place_.empty() && snapshot->place != judged_place_;
    if (exchanged || digest == waiting_) {
      Judge(snapshot, std::move(digest));
    } else {
      waiting_ = std::move(digest);
    }
  }
  WipeAll(snapshot);
}

void WatchedFiles::Judge(const absl::StatusOr<Snapshot>& snapshot, std::string digest) {
  waiting_.clear();
  judged_ = std::move(digest);
  judged_place_ = snapshot.ok() ? snapshot->place : "";
  const absl::Status taken = snapshot.ok() ? take_(snapshot->contents) : snapshot.status();
  metrics_.SetFilesGood(name_, taken.ok(), clock_.Now());
  if (report_ != nullptr) {
    report_(taken);
  } else {
    ReportInLog(taken);
  }
}

void WatchedFiles::ReportInLog(const absl::Status& taken) {
  std::string error(taken.message());
  if (taken.ok()) {
    log_.Info("files taken", {{"files", name_}});
  } else if (error != error_) {
    log_.Warn("files not taken: the last good ones serve on", {{"files", name_}, {"error", error}});
  }
  error_ = std::move(error);
}

}  // namespace tokenbroker
