#include "server/ledger/waits.h"

#include <algorithm>
#include <string>
#include <vector>

#include "server/domain/expiry.h"
#include "server/ledger/claims.h"
#include "server/ledger/life.h"
#include "server/ledger/lists.h"
#include "server/ledger/token_rows.h"

namespace tokenbroker {
namespace {

absl::StatusOr<std::optional<std::string>> NextOwner(SqliteDb& db, const std::string& last) {
  absl::StatusOr<Statement> select = db.Prepare(OwnerStatement());
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, last).Step();
  if (!row.ok()) return row.status();
  return *row ? std::optional(select->Text(0)) : std::nullopt;
}

// Owner by owner: an index begins with it.
absl::Status MakeRevocationsDue(Transaction& transaction) {
  std::string owner;
  for (;;) {
    const absl::StatusOr<std::optional<std::string>> next = NextOwner(transaction.db, owner);
    if (!next.ok()) return next.status();
    if (!next->has_value()) return absl::OkStatus();
    owner = **next;
    absl::StatusOr<Statement> update = transaction.db.Prepare(
        "UPDATE tokens SET next_attempt_time = ?1 WHERE owner = ?2 AND state = 'REVOKING' AND next_attempt_time > ?1");
    if (!update.ok()) return update.status();
    const absl::Status done = update->Bind(1, transaction.now).Bind(2, owner).Run();
    if (!done.ok()) return done;
  }
}

absl::StatusOr<std::vector<TokenRecord>> SweepsToCome(Transaction& transaction) {
  absl::StatusOr<Statement> select =
      transaction.db.Prepare("SELECT " + std::string(TokenColumns()) +
                             " FROM tokens INDEXED BY tokens_due WHERE due_class = ? AND next_attempt_time > ?");
  if (!select.ok()) return select.status();
  select->Bind(1, kSweepClass).Bind(2, transaction.now);
  std::vector<TokenRecord> rows;
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return rows;
    rows.push_back(ReadRow(*select));
  }
}

// When this row's next sweep is due by the clock of now: what the row has of the future was written before the step.
WallTime LatestSweep(const TokenRecord& row, Duration settle, WallTime now) {
  const WallTime create_time = std::min(row.token.create_time, now);
  const bool swept = row.last_look.has_value() && *row.last_look <= now;
  const WallTime latest =
      std::max(now, NextLook(create_time, settle, swept ? row.last_look : std::nullopt).value_or(now));
  const bool has_ended = IsClosed(row.token.state) && row.token.state != TokenState::kAbandoned;
  return has_ended ? std::max(latest, now + kSecondDescendantList) : latest;
}

}  // namespace

absl::Status BoundWaitingRows(Transaction& transaction, Duration settle) {
  const WallTime now = transaction.now;
  const absl::Status due = MakeRevocationsDue(transaction);
  if (!due.ok()) return due;
  const absl::StatusOr<std::vector<TokenRecord>> rows = SweepsToCome(transaction);
  if (!rows.ok()) return rows.status();
  for (const TokenRecord& row : *rows) {
    const WallTime next = std::min(*row.next_attempt_time, LatestSweep(row, settle, now));
    const WallTime give_up = row.pending ? std::min(row.give_up_time, now + kGiveUpAfter) : row.give_up_time;
    if (next == row.next_attempt_time && give_up == row.give_up_time) continue;
    absl::StatusOr<Statement> update =
        transaction.db.Prepare("UPDATE tokens SET next_attempt_time = ?, give_up_time = ? WHERE id = ?");
    if (!update.ok()) return update.status();
    const absl::Status bounded = update->Bind(1, next).Bind(2, give_up).Bind(3, row.token.id).Run();
    if (!bounded.ok()) return bounded;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::int64_t> NewestRow(SqliteDb& db) {
  absl::StatusOr<Statement> select = db.Prepare("SELECT COALESCE(MAX(row), 0) FROM tokens");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Step();
  if (!row.ok()) return row.status();
  return select->Int(0);
}

absl::StatusOr<bool> HasEventsAfter(SqliteDb& db, WallTime now) {
  absl::StatusOr<Statement> select = db.Prepare("SELECT 1 FROM events WHERE time > ? LIMIT 1");
  if (!select.ok()) return select.status();
  return select->Bind(1, now).Step();
}

}  // namespace tokenbroker
