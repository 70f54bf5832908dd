#pragma once
// Rows of the table of tokens, and the changes that may be made to them.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/ledger/ledger.h"
#include "server/ledger/sqlite_db.h"
#include "server/ledger/strand.h"

namespace tokenbroker {

// Scopes as a column holds them.
std::string JoinScopes(const std::vector<std::string>& scopes);
std::vector<std::string> SplitScopes(std::string_view text);

// The columns that ReadRow expects, in its order.
std::string_view TokenColumns();
int TokenColumnCount();
TokenRecord ReadRow(const Statement& row);

// NOT_FOUND without a reason if there is none.
absl::StatusOr<TokenRecord> LoadToken(SqliteDb& db, const TokenId& id);
// By the column `row`.
absl::StatusOr<TokenRecord> LoadTokenRow(SqliteDb& db, std::int64_t row_number);

// Writes a new row, in the state that `record` says.
absl::Status InsertToken(SqliteDb& db, const TokenRecord& record);

// One step in a token's life. What is not set stays as it is.
struct Change {
  TokenState to = TokenState::kPending;
  RevokeReason reason = RevokeReason::kNone;  // kNone: unchanged.
  std::optional<MadeUpstream> made;           // Taken if the row has no upstream id yet.
  std::optional<WallTime> expire_time;
  std::optional<WallTime> revoke_time;
  std::optional<WallTime> next_attempt_time;  // Nothing: no more is due.
  std::string actor;                          // The cause: "callers/{name}", or one of the broker's jobs.
  std::string why;                            // For the audit; no secret.
};

// Changes `before` (as it was just read in this transaction) and writes the event, both or neither. The row's state is
// compared once more: NOT_FOUND if it is not what `before` says.
absl::StatusOr<TokenRecord> Apply(Transaction& transaction, const TokenRecord& before, Change change);

// Writes an event about a token that changes no state.
absl::Status NoteEvent(Transaction& transaction, std::string kind, const Token& token, std::string_view actor,
                       std::string_view why);

}  // namespace tokenbroker
