#pragma once
// The policy in force: read from a file or a folder at the start, and again whenever it changes.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/config/policy_text.h"
#include "server/policy/policy.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

// Reads and checks a policy file or folder without putting it in force. Errors are INVALID_ARGUMENT, reason
// CONFIG_INVALID or POLICY_INVALID, with the place: "policy.yaml:9:16: roles.reader.grants[0].scopes[1]: unknown scope
// ...".
absl::Status CheckPolicyFile(const std::string& path, PolicyOptions options);

// An empty moment is not a policy. At the start, without a good file, nobody may do anything, until a good one comes.
// Later a file that is missing, empty (blanks and comments) or bad changes nothing; it is logged and counted once per
// content. A file that was exchanged (another inode: a rename, a link of a ConfigMap) is taken at once; one that is
// changed in place, or that appears where none was, only when it has been the same for a second, since a half-written
// text may be valid and may lack its denies. The same holds for a folder: the link of a mounted ConfigMap is taken at
// once, files that change one after the other when all have been the same for a second.
//
// Thread-safe. The file is read on the clock's executor; the destructor waits for a look that is under way.
class PolicyFile final : public PolicySource {
 public:
  // All must outlive it.
  PolicyFile(std::string path, PolicyOptions options, Clock& clock, Metrics& metrics, Log& log);
  ~PolicyFile() override;

  // Reads the file once and blocks for it.
  void LoadAtStart();
  // Looks at the file every second from now on.
  void Start();

  std::shared_ptr<const Policy> Current() const override;
  // Why there is no policy in force: UNAVAILABLE, reason POLICY_MISSING; OK if there is one.
  absl::Status ready() const;

 private:
  // A content that waits for its quiet second.
  struct Waiting {
    std::string content;
    std::int64_t changed_nanos = 0;
    BootTime since;
  };

  // Held while the file is looked at. Outlives the object with the last timer's callback, which touches nothing else
  // once it is closed.
  struct Gate {
    std::mutex mutex;
    bool closed = false;
  };

  // All with the gate's mutex held.
  void PollAgainLater();
  void Poll();
  bool IsQuiet(const PolicyText& text, const std::string& content);
  void Judge(const absl::StatusOr<PolicyText>& text, std::string content);
  void Refuse(const absl::Status& why);

  const std::string path_;
  const PolicyOptions options_;
  Clock& clock_;
  Metrics& metrics_;
  Log& log_;

  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  // Guarded by the gate:
  std::string judged_;  // The content that was judged last: its hash, or why it could not be read.
  std::optional<std::pair<std::uint64_t, std::uint64_t>> judged_place_;  // Nothing: there was no file.
  std::optional<Waiting> waiting_;
  std::unique_ptr<Clock::Timer> timer_;

  mutable std::mutex mutex_;  // Guards what is below; taken after the gate's.
  std::shared_ptr<const Policy> current_ = Policy::DenyAll();
  absl::Status ready_;
};

}  // namespace tokenbroker
