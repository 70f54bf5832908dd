#pragma once
// The audit: what happened, in an order that cannot be changed afterwards without being noticed. Each process start is
// a writer with a random name; its events are numbered from 1, and each carries the hash of the one before.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/ledger/sqlite_db.h"

namespace tokenbroker {

struct AuditEvent {
  WallTime time;
  std::string kind;      // "token.pending", "token.active", ..., "refusal", "refusals".
  std::string token_id;  // Empty if it is about none.
  std::string caller;
  std::string body;  // A JSON object.
};

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

// SHA-256 over the previous hash and the event's canonical text; 32 bytes.
std::string HashOf(const std::string& previous, const std::string& writer, std::int64_t seq, const AuditEvent& event);

// Walks every writer's chain. OK, or DATA_LOSS naming the first record that does not fit.
absl::Status VerifyChains(SqliteDb& db);

}  // namespace tokenbroker
