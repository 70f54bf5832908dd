#pragma once
// Files that belong together and that an operator may replace while the broker runs: a certificate with its key and
// authorities, the GitLab credential, a JWT key set, the policy. One rule holds for all of them:
//
//   The set that was last good serves on, whatever is in the files now: nothing, half of it, a folder, another's key.
//   A set that cannot be used is one log line for each cause, and a metric, until it is good again, which is one line.
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

  // One reading of the set.
  struct Snapshot {
    Contents contents;
    // What is there under the paths, where the whole set can be exchanged at once (a rename, the link of a mounted
    // ConfigMap): a snapshot with another place than the last one is whole, and taken at its first reading. Empty: the
    // files can change one after the other, or in place.
    std::string place;
  };
  using Read = std::function<absl::StatusOr<Snapshot>()>;
  // Reads each path as ReadWatchedFile does; without a place.
  static Read ReadPaths(std::vector<std::string> paths);
  // Says in the log what became of a set: OK if it was taken, else why not. May add metrics of its own.
  using Report = std::function<void(const absl::Status& taken)>;

  struct Options {
    std::string name;  // As below.
    Read read;
    Take take;
    Report report;
  };
  WatchedFiles(Options options, Clock& clock, Metrics& metrics, Log& log);

  // `name`: the label of its metrics, and its name in log lines: "tls", "gitlab_credential".
  WatchedFiles(std::string name, std::vector<std::string> paths, Take take, Clock& clock, Metrics& metrics, Log& log);
  ~WatchedFiles();
  WatchedFiles(const WatchedFiles&) = delete;
  WatchedFiles& operator=(const WatchedFiles&) = delete;

  // Reads and takes the set now; fails as `take` does, without a report.
  absl::Status Load();
  // The same for a set without which a start goes on: a bad one is reported, and a good one taken when it comes.
  void LoadOrWait();
  // Polls once a second from now on, until it is destroyed.
  void Start();

 private:
  struct Gate {
    std::mutex mutex;
    bool closed = false;
  };

  void Poll();
  void PollAgainLater();
  void Judge(const absl::StatusOr<Snapshot>& snapshot, std::string digest);
  void ReportInLog(const absl::Status& taken);

  const std::string name_;
  const Read read_;
  const Take take_;
  const Report report_;  // Null: ReportInLog.
  Clock& clock_;
  Metrics& metrics_;
  Log& log_;
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  std::string judged_;        // The digest of the newest set that was judged, good or bad.
  std::string judged_place_;  // Its place.
  std::string waiting_;       // The digest of one that has to be read once more.
  std::string error_;         // Empty: the files are good.
  std::unique_ptr<Clock::Timer> timer_;
};

}  // namespace tokenbroker
