#pragma once
// Ties a ledger's file to the write-ahead log beside it. SQLite replays whatever log lies there: a backup that is
// copied over a ledger whose log has stayed is damaged by pages of the former file, before anybody reads a row.
//
// What shows that a log is not the file's:
//   The file is not in WAL mode (bytes 18 and 19 of its header are 1): BackupLedger leaves a copy so, and a ledger that
//   was ever open never is.
//   The file's user_version is not that of the run that left the log. Each start draws one, writes it into the file
//   before the log has anything else, and keeps it in "<ledger>-run". A file of an earlier run has another one.
//   There is no file, or an empty one.
// Not seen: a copy that another program than BackupLedger made during the run that left the log.

#include <string>

#include "absl/status/status.h"
#include "server/ledger/sqlite_db.h"

namespace tokenbroker {

// FAILED_PRECONDITION, naming the log, if it is another file's. To be called with the ledger's lock held, before SQLite
// opens the file; changes nothing.
absl::Status CheckLogBelongs(const std::string& path);

// Begins a run: from here on, what the log holds belongs to this file. `db` is the ledger's one open connection.
absl::Status BeginRun(SqliteDb& db, const std::string& path);

}  // namespace tokenbroker
