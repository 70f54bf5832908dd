#pragma once
// A backup of a ledger that may be in use.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace tokenbroker {

// Copies the ledger `path`, as it is at one instant, into the new file `backup`, with SQLite's backup API: a broker
// that uses the ledger meanwhile goes on. `backup` has mode 0600, is never overwritten, and exists only once it is
// whole, was verified (PRAGMA integrity_check) and is on the disk. It is not in WAL mode: one file, which
// CheckLogBelongs tells from a ledger that was in use. Returns the number of tokens in it. Errors name the file and the
// cause; then `backup` is as it was.
absl::StatusOr<std::int64_t> BackupLedger(const std::string& path, const std::string& backup);

}  // namespace tokenbroker
