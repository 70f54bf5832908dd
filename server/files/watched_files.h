#pragma once
// Files that belong together and that an operator may replace while the broker runs: a certificate with its key and
// authorities, the GitLab credential, a key set. One rule holds for all of them:
//
//   The set that was last good serves on, whatever is in the files now: nothing, half of it, a folder, another's key.
//   A set that cannot be used is one log line for each cause, and a metric, until it is good again.
//   A good set is taken within 10 s of the change of its last file. It is read twice, a second apart, before it is
//   taken, so that a file that is being written is not taken for a whole one.
//   Nothing in a file ends the process.

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

// Reads one file of a set: a regular file (links are followed) of at most 1 MiB. The error names the file.
absl::StatusOr<std::string> ReadWatchedFile(const std::string& path);

// Thread-safe. Polls on the clock's executor: a read is of a few small files.
class WatchedFiles {
 public:
  // The bytes of all files, for those that are compared and taken; each path once. At most 1 MiB a file. An error names
  // the file.
  using Contents = std::vector<std::string>;
  // Validates the set and takes it: called with another set than the last one that was good or bad. An error says which
  // file cannot be used and why, without its contents; then nothing was taken. May be called on any thread, never twice
  // at a time.
  using Take = std::function<absl::Status(const Contents& contents)>;

  // `name`: the label of its metrics, and its name in log lines: "tls", "gitlab_credential".
  WatchedFiles(std::string name, std::vector<std::string> paths, Take take, Clock& clock, Metrics& metrics, Log& log);
  ~WatchedFiles();
  WatchedFiles(const WatchedFiles&) = delete;
  WatchedFiles& operator=(const WatchedFiles&) = delete;

  // Reads and takes the set now; fails as `take` does.
  absl::Status Load();
  // Polls once a second from now on, until it is destroyed.
  void Start();

 private:
  struct Gate {
    std::mutex mutex;
    bool closed = false;
  };

  absl::StatusOr<Contents> Read() const;
  void Poll();
  void PollAgainLater();
  void Judge(const absl::StatusOr<Contents>& contents, const std::string& digest);

  const std::string name_;
  const std::vector<std::string> paths_;
  const Take take_;
  Clock& clock_;
  Metrics& metrics_;
  Log& log_;
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  std::string judged_;   // The digest of the newest set that was judged, good or bad.
  std::string waiting_;  // The digest of one that has to be read once more.
  std::string error_;    // Empty: the files are good.
  std::unique_ptr<Clock::Timer> timer_;
};

}  // namespace tokenbroker
