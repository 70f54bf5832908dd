#pragma once
// The audit as SQLite keeps it; see server/domain/audit_record.h.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/domain/audit_record.h"
#include "server/ledger/ledger.h"
#include "server/ledger/sqlite_db.h"

namespace tokenbroker {

// The chain of this process. Used on the ledger's strand alone.
class AuditChain {
 public:
  explicit AuditChain(Random& random);

  // Writes the next event into the open transaction.
  absl::Status Append(SqliteDb& db, const AuditEvent& event);

  // Where the chain stands: a transaction that is undone takes the chain back with Return.
  struct Place {
    std::int64_t seq = 0;
    std::string hash;
  };
  Place place() const { return place_; }
  void Return(Place place) { place_ = std::move(place); }

  const std::string& writer() const { return writer_; }

 private:
  std::string writer_;
  Place place_;
};

// At most query.limit records in the order of (writer, seq); see Ledger::ReadAudit.
absl::StatusOr<std::vector<AuditRecord>> ReadAuditPage(SqliteDb& db, const AuditQuery& query);

// Walks every writer's chain. OK, or DATA_LOSS naming the first record that does not fit.
absl::Status VerifyChains(SqliteDb& db);

}  // namespace tokenbroker
