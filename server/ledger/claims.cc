#include "server/ledger/claims.h"

#include <string>
#include <utility>

#include "server/ledger/token_rows.h"

namespace tokenbroker {
namespace {

// For so long nobody else takes a claimed row. It is claimed again if its work had no end by then.
constexpr Duration kClaim = seconds(30);

// What a caller asked for comes first, then expiry, then other deletions, then looks; inside a class the callers take
// turns, each with its oldest.
constexpr char kDue[] = R"sql(
SELECT id FROM (
  SELECT id, class, next_attempt_time,
         ROW_NUMBER() OVER (PARTITION BY class, owner ORDER BY next_attempt_time, id) AS turn
  FROM (
    SELECT id, owner, next_attempt_time,
           CASE WHEN state = 'REVOKING' AND revoke_reason = 'REQUESTED' THEN 0
                WHEN state = 'ACTIVE' OR (state = 'REVOKING' AND revoke_reason = 'TTL') THEN 1
                WHEN state = 'REVOKING' THEN 2
                ELSE 3 END AS class
    FROM tokens WHERE next_attempt_time <= ?
  )
) ORDER BY class, turn, next_attempt_time, id LIMIT ?
)sql";

absl::Status Hold(Transaction& transaction, const TokenId& id) {
  absl::StatusOr<Statement> update = transaction.db.Prepare("UPDATE tokens SET next_attempt_time = ? WHERE id = ?");
  if (!update.ok()) return update.status();
  return update->Bind(1, transaction.now + kClaim).Bind(2, id).Run();
}

}  // namespace

absl::StatusOr<std::vector<TokenRecord>> ClaimDueRows(Transaction& transaction, int limit) {
  std::vector<TokenId> ids;
  {
    absl::StatusOr<Statement> select = transaction.db.Prepare(kDue);
    if (!select.ok()) return select.status();
    select->Bind(1, transaction.now).Bind(2, limit);
    for (;;) {
      const absl::StatusOr<bool> row = select->Step();
      if (!row.ok()) return row.status();
      if (!*row) break;
      ids.push_back(select->Text(0));
    }
  }
  std::vector<TokenRecord> claimed;
  for (const TokenId& id : ids) {
    absl::StatusOr<TokenRecord> record = LoadToken(transaction.db, id);
    if (!record.ok()) return record.status();
    if (!record->pending && record->token.state == TokenState::kActive) {
      Change change;
      change.to = TokenState::kRevoking;
      change.reason = RevokeReason::kTtl;
      change.next_attempt_time = transaction.now + kClaim;
      change.actor = "expiry";
      record = Apply(transaction, *record, std::move(change));
      if (!record.ok()) return record.status();
    } else {
      const absl::Status held = Hold(transaction, id);
      if (!held.ok()) return held;
      record->next_attempt_time = transaction.now + kClaim;
    }
    claimed.push_back(*std::move(record));
  }
  return claimed;
}

absl::StatusOr<std::optional<WallTime>> NextDueTime(Transaction& transaction) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT next_attempt_time FROM tokens WHERE next_attempt_time IS NOT NULL ORDER BY next_attempt_time LIMIT 1");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Step();
  if (!row.ok()) return row.status();
  return *row ? std::optional(select->Time(0)) : std::nullopt;
}

}  // namespace tokenbroker
