#pragma once
// An issuer's keys in a file that an operator may replace at any time: see server/files/watched_files.h.

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/files/watched_files.h"
#include "server/identity/key_source.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

class FileKeys final : public KeySource {
 public:
  // Reads the file, and again every second on the clock's executor. Without a good one there are no keys until one
  // comes.
  FileKeys(std::string issuer, std::string path, Clock& clock, Metrics& metrics, Log& log);

  std::shared_ptr<const KeySet> Current() const override;
  void Want() override {}  // The file is read all the time.

 private:
  absl::Status Take(const WatchedFiles::Contents& contents);
  void Report(const absl::Status& taken);

  const std::string issuer_;
  const std::string path_;
  Clock& clock_;
  Metrics& metrics_;
  Log& log_;
  std::string failure_;  // Used by Report only.

  mutable std::mutex mutex_;  // Guards what is below.
  std::shared_ptr<const KeySet> current_;
  WatchedFiles files_;  // Last: it calls Take and Report.
};

}  // namespace tokenbroker
