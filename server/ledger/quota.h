#pragma once
// What a caller has under a role: the number of its open tokens (PENDING, ACTIVE, REVOKING) in one counter row of each
// caller and role, which changes in the transaction that opens or closes a token, and what it made in the last minute.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/domain/quota.h"
#include "server/domain/token.h"
#include "server/ledger/sqlite_db.h"
#include "server/ledger/strand.h"

namespace tokenbroker {

struct QuotaRules {
  Duration settle;
  // Rows up to this number count for no rate: the clock went back after they were written.
  std::int64_t untimely_row = 0;
};

// Whether there is room for one more; see Ledger::CheckQuota. The token that gives way to it takes no place.
absl::Status CheckRoom(Transaction& transaction, const QuotaRules& rules, const std::string& owner,
                       const std::string& role, const QuotaLimits& limits, const std::optional<TokenId>& gives_way);

// To be called when a token of this caller and role opens (1) or closes (-1).
absl::Status ChangeOpenTokens(SqliteDb& db, const std::string& owner, const std::string& role, int by);

// DATA_LOSS, naming caller and role, if a counter is not the number of open tokens. Reads every row.
absl::Status VerifyOpenTokens(SqliteDb& db);

}  // namespace tokenbroker
