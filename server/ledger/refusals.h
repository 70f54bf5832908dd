#pragma once
// Refusals on their way into the audit, bounded: of each caller at most ten a minute in full, the rest as one summary
// with counts by reason once the minute is over.

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "server/base/clock.h"
#include "server/ledger/audit_chain.h"
#include "server/ledger/ledger.h"

namespace tokenbroker {

// Thread-safe; never waits for anything but its own short lock. Minutes are the boot clock's, so that a step of the
// wall clock makes none longer.
class Refusals {
 public:
  // One instant by both clocks.
  struct Instant {
    WallTime wall;
    BootTime boot;
  };

  // True if something should be written soon.
  bool Note(const Refusal& refusal, Instant now);
  // What is to be written now: noted refusals, and the summaries of minutes that are over (all of them if `last`).
  std::vector<AuditEvent> Take(Instant now, bool last);
  // Gives events back that could not be written.
  void Return(std::vector<AuditEvent> events);
  bool HasDue(BootTime now) const;

 private:
  struct Minute {
    BootTime end;
    int in_full = 0;
    std::map<std::pair<std::string, std::string>, std::int64_t> more;  // Method and reason.
  };

  mutable std::mutex mutex_;
  std::vector<AuditEvent> waiting_;
  std::map<std::string, Minute> minutes_;
};

}  // namespace tokenbroker
