#pragma once
// The ledger in one SQLite file: one machine, one broker.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/base/random.h"
#include "server/ledger/ledger.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

struct SqliteLedgerOptions {
  std::string path;    // Made with mode 0600 if it is missing; its folder must exist.
  std::string broker;  // See IsBrokerName.
  Duration settle = minutes(10);
  Duration busy = seconds(5);  // The longest wait for another process that holds the file's lock.
  // For tests. SQLite's name of the file system; empty: the machine's. The file <path>.lock is on the machine's always.
  std::string vfs = "";
  // For simulations in one thread: everything runs on the executor, which waits meanwhile.
  bool on_executor = false;
};

// Fails, in one sentence that names file and reason, if another process uses the ledger, if it belongs to another
// broker or to a newer program, or if it cannot be opened. The ledger must be destroyed before what it was made with,
// and after every task of it has ended.
absl::StatusOr<std::unique_ptr<Ledger>> OpenSqliteLedger(SqliteLedgerOptions options, Executor& executor, Clock& clock,
                                                         Random& random, Metrics& metrics);

}  // namespace tokenbroker
