#pragma once
// Times that were written before the ledger's clock went back, and lie ahead by the step. See Ledger::BoundWaits.

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/ledger/strand.h"

namespace tokenbroker {

absl::Status BoundWaitingRows(Transaction& transaction, Duration settle);

// The number of the newest row; 0 if there is none.
absl::StatusOr<std::int64_t> NewestRow(SqliteDb& db);
// Whether something was written at a time that is still to come.
absl::StatusOr<bool> HasEventsAfter(SqliteDb& db, WallTime now);

}  // namespace tokenbroker
