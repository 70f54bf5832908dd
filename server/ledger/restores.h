#pragma once
// What a copy that is older than the world it stands for must not do: an older GitLab gives the numbers of its tokens
// out a second time, an older ledger looks for creates that were answered since, and a second broker on a copy of the
// ledger must not end the first one's tokens.

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/ledger/ledger.h"
#include "server/ledger/strand.h"

namespace tokenbroker {

// Notices that GitLab was restored: a 201 whose upstream id is below that of a 201 more than an hour older. Noted in
// the ledger for good. (The tokens of users, projects, groups and service accounts have one numbering.) Note runs on
// the ledger's strand alone, restored() anywhere.
class RestoreWatch {
 public:
  // Reads what is known. To be called once, before Note.
  absl::Status Load(SqliteDb& db, WallTime now);
  bool restored() const { return restored_; }

  // GitLab has just answered with this token.
  absl::Status Note(Transaction& transaction, const std::string& instance, std::int64_t upstream_id);

 private:
  // Unless it is there: a transaction that was undone has taken it back.
  absl::Status Write(Transaction& transaction, const std::string& instance, std::int64_t upstream_id);

  // The highest id of each instance: of an hour ago and before, and of each minute since. By the boot clock: a step of
  // the wall clock makes nothing old.
  struct Highest {
    std::int64_t old = 0;
    std::deque<std::pair<BootTime, std::int64_t>> recent;
  };

  std::atomic<bool> restored_ = false;
  std::map<std::string, Highest> instances_;
};

// GitLab has just shown that this number is the token `made` in its list or its 201, so an open row with the same
// number and another name speaks of a token that is gone: it is closed.
absl::Status FreeUpstreamId(Transaction& transaction, const std::string& instance, const MadeUpstream& made);

// No look comes any more for what is PENDING or ABANDONED; what is PENDING becomes ABANDONED. How many rows.
absl::StatusOr<int> GiveUpLooks(Transaction& transaction);
// Every open row becomes ABANDONED, with nothing to come: its token at GitLab is another broker's. How many rows.
absl::StatusOr<int> CloseAllRows(Transaction& transaction, const std::string& new_broker);

}  // namespace tokenbroker
