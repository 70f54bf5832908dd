#pragma once
// The tables, and the ledger's own facts about itself.

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/ledger/sqlite_db.h"

namespace tokenbroker {

// OK if there is no such file, if it is empty, or if it is a ledger. FAILED_PRECONDITION, naming the file, if it is a
// database of another program or no database: it is read alone, and not changed by a byte.
absl::Status CheckIsLedger(const std::string& path);
absl::Status CheckIsLedger(SqliteDb& db, const std::string& path);

inline constexpr int kSchemaVersion = 3;

// Makes the tables in an empty file and writes the broker's name into it; in a file that has them, checks both, and
// brings those of an older program up to this version, in one transaction.
// FAILED_PRECONDITION, naming what is wrong, for a schema newer than this program or for another broker's ledger.
absl::Status PrepareSchema(SqliteDb& db, const std::string& path, const std::string& broker);

// Returns OK if PrepareSchema would succeed; reads only, and finds no error in a file without tables.
absl::Status CheckSchema(SqliteDb& db, const std::string& path, const std::string& broker);

// Whose ledger it is. Fails as above for a schema that this program does not know.
absl::StatusOr<std::string> BrokerOf(SqliteDb& db, const std::string& path);

}  // namespace tokenbroker
