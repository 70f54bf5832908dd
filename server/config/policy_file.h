#pragma once
// The policy in force: read from a file or a folder at the start, and again whenever it changes.

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/config/policy_text.h"
#include "server/files/watched_files.h"
#include "server/policy/policy.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

// Reads and checks a policy file or folder without putting it in force. Errors are INVALID_ARGUMENT, reason
// CONFIG_INVALID or POLICY_INVALID, with the place: "policy.yaml:9:16: roles.reader.grants[0].scopes[1]: unknown scope
// ...".
absl::Status CheckPolicyFile(const std::string& path, PolicyOptions options);

// An empty moment is not a policy. At the start, without a good file, nobody may do anything, until a good one comes.
// Later a file that is missing, empty (blanks and comments) or bad changes nothing: the rule is that of
// server/files/watched_files.h. A file that was exchanged (another inode: a rename, a link of a ConfigMap) is taken at
// once; one that is changed in place, or that appears where none was, only when it was read alike twice, since a
// half-written text may be valid and may lack its denies. The same holds for a folder: the link of a mounted ConfigMap
// is taken at once, files that change one after the other when all have been the same for a second.
//
// Thread-safe. The file is read on the clock's executor; the destructor waits for a reading that is under way.
class PolicyFile final : public PolicySource {
 public:
  // All must outlive it.
  PolicyFile(std::string path, PolicyOptions options, Clock& clock, Metrics& metrics, Log& log);

  // Reads the file once and blocks for it.
  void LoadAtStart() { files_.LoadOrWait(); }
  // Reads the file every second from now on.
  void Start() { files_.Start(); }

  std::shared_ptr<const Policy> Current() const override;
  // Why there is no policy in force: UNAVAILABLE, reason POLICY_MISSING; OK if there is one.
  absl::Status ready() const;

 private:
  absl::Status Take(const WatchedFiles::Contents& contents);
  void Report(const absl::Status& taken);

  const std::string path_;
  const PolicyOptions options_;
  Clock& clock_;
  Metrics& metrics_;
  Log& log_;

  mutable std::mutex mutex_;  // Guards what is below.
  std::shared_ptr<const Policy> current_ = Policy::DenyAll();
  absl::Status ready_;
  WatchedFiles files_;  // Last: it calls Take and Report.
};

}  // namespace tokenbroker
