#pragma once
// Testonly: what lies in a ledger's file, read past the ledger, so that a test can hold it against the truth.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/ledger/ledger.h"

namespace tokenbroker {

// Every row, by id. `vfs`: SQLite's name of the file system; empty: the machine's.
absl::StatusOr<std::vector<TokenRecord>> ReadStoredRows(const std::string& path, const std::string& vfs);

// The whole audit, each writer's events in their order.
absl::StatusOr<std::vector<AuditEvent>> ReadStoredEvents(const std::string& path, const std::string& vfs);
// Walks every audit chain; DATA_LOSS names the first record that does not fit.
absl::Status VerifyStoredAudit(const std::string& path, const std::string& vfs);

// Changes the file behind the ledger's back.
absl::Status ExecuteInLedger(const std::string& path, const std::string& vfs, const std::string& sql);

}  // namespace tokenbroker
