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

std::string DigestOf(const absl::StatusOr<WatchedFiles::Contents>& contents) {
  return contents.ok() ? DigestOf(*contents) : std::string(contents.status().message());
}

void WipeAll(absl::StatusOr<WatchedFiles::Contents>& contents) {
  if (!contents.ok()) return;
  for (std::string& text : *contents) Wipe(text);
}

}  // namespace

absl::StatusOr<std::string> ReadWatchedFile(const std::string& path) {
  absl::StatusOr<FileText> file = ReadFileText(path);
  if (!file.ok()) return file.status();
  if (file->text.size() <= kMaxBytes) return std::move(file->text);
  Wipe(file->text);
  return absl::InvalidArgumentError(path + ": is larger than 1 MiB");
}

WatchedFiles::WatchedFiles(std::string name, std::vector<std::string> paths, Take take, Clock& clock, Metrics& metrics,
                           Log& log)
    : name_(std::move(name)),
      paths_(std::move(paths)),
      take_(std::move(take)),
      clock_(clock),
      metrics_(metrics),
      log_(log) {}

WatchedFiles::~WatchedFiles() {
  const std::lock_guard lock(gate_->mutex);
  gate_->closed = true;
}

absl::Status WatchedFiles::Load() {
  const std::lock_guard lock(gate_->mutex);
  absl::StatusOr<Contents> contents = Read();
  absl::Status taken = contents.status();
  if (contents.ok()) taken = take_(*contents);
  if (taken.ok()) {
    judged_ = DigestOf(contents);
    metrics_.SetFilesGood(name_, true, clock_.Now());
  }
  WipeAll(contents);
  return taken;
}

void WatchedFiles::Start() {
  const std::lock_guard lock(gate_->mutex);
  PollAgainLater();
}

absl::StatusOr<WatchedFiles::Contents> WatchedFiles::Read() const {
  Contents contents;
  for (const std::string& path : paths_) {
    absl::StatusOr<std::string> text = ReadWatchedFile(path);
    if (!text.ok()) {
      for (std::string& each : contents) Wipe(each);
      return text.status();
    }
    contents.push_back(*std::move(text));
  }
  return contents;
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
  absl::StatusOr<Contents> contents = Read();
  const std::string digest = DigestOf(contents);
  if (digest == judged_) {
    waiting_.clear();
  } else if (digest != waiting_) {
    waiting_ = digest;
  } else {
    Judge(contents, digest);
  }
  WipeAll(contents);
}

void WatchedFiles::Judge(const absl::StatusOr<Contents>& contents, const std::string& digest) {
  waiting_.clear();
  judged_ = digest;
  const absl::Status taken = contents.ok() ? take_(*contents) : contents.status();
  if (taken.ok()) {
    metrics_.SetFilesGood(name_, true, clock_.Now());
    log_.Info("files taken", {{"files", name_}});
    error_.clear();
    return;
  }
  metrics_.SetFilesGood(name_, false, clock_.Now());
  std::string error(taken.message());
  if (error != error_) log_.Warn("files not taken: the last good ones serve on", {{"files", name_}, {"error", error}});
  error_ = std::move(error);
}

}  // namespace tokenbroker
