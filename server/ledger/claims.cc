#include "server/ledger/claims.h"

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "server/ledger/token_rows.h"

// What a claim costs depends on how many rows it takes, not on how many are due: every statement here reads an index
// from a known place and stops.

namespace tokenbroker {
namespace {

// For so long nobody else takes a claimed row. It is claimed again if its work had no end by then.
constexpr Duration kClaim = seconds(30);
// The values of the column due_class.
constexpr int kClasses = kSweepClass + 1;
// So many of the oldest rows are looked at for their owners before the owners themselves are walked.
constexpr int kGlance = 256;

// Somebody with work that is due, and the oldest of it.
struct Turn {
  std::string owner;
  TokenId id;
  WallTime due;
};

bool IsBefore(const Turn& a, const Turn& b) { return std::tie(a.due, a.id) < std::tie(b.due, b.id); }

// The owners of the oldest rows that are due; `all`: nobody else has any.
absl::StatusOr<std::set<std::string>> OwnersAtAGlance(Transaction& transaction, int due_class, bool* all) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT owner FROM tokens INDEXED BY tokens_due WHERE due_class = ? AND next_attempt_time <= ? "
      "ORDER BY next_attempt_time LIMIT ?");
  if (!select.ok()) return select.status();
  select->Bind(1, due_class).Bind(2, transaction.now).Bind(3, kGlance);
  std::set<std::string> owners;
  for (int rows = 0;; ++rows) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) {
      *all = rows < kGlance;
      return owners;
    }
    owners.insert(select->Text(0));
  }
}

// Those `limit` owners whose oldest row has waited longest, found by going from one owner to the next.
absl::StatusOr<std::set<std::string>> OwnersWhoWaitLongest(Transaction& transaction, int due_class, int limit) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(R"sql(
    WITH RECURSIVE owners (owner) AS (
      SELECT MIN(owner) FROM tokens WHERE due_class = ?1 AND next_attempt_time IS NOT NULL
      UNION ALL
      SELECT (SELECT MIN(owner) FROM tokens
              WHERE due_class = ?1 AND owner > owners.owner AND next_attempt_time IS NOT NULL)
      FROM owners WHERE owner IS NOT NULL
    ), firsts AS (
      SELECT owner, (SELECT MIN(next_attempt_time) FROM tokens
                     WHERE due_class = ?1 AND owner = owners.owner AND next_attempt_time IS NOT NULL) AS first
      FROM owners WHERE owner IS NOT NULL
    )
    SELECT owner FROM firsts WHERE first <= ?2 ORDER BY first LIMIT ?3)sql");
  if (!select.ok()) return select.status();
  select->Bind(1, due_class).Bind(2, transaction.now).Bind(3, limit);
  std::set<std::string> owners;
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return owners;
    owners.insert(select->Text(0));
  }
}

// This owner's oldest row that is due; nothing if there is none.
absl::StatusOr<std::optional<Turn>> NextTurn(Transaction& transaction, int due_class, const std::string& owner) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT id, next_attempt_time FROM tokens INDEXED BY tokens_turns "
      "WHERE due_class = ? AND owner = ? AND next_attempt_time <= ? ORDER BY next_attempt_time, rowid LIMIT 1");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, due_class).Bind(2, owner).Bind(3, transaction.now).Step();
  if (!row.ok()) return row.status();
  if (!*row) return std::nullopt;
  return Turn{owner, select->Text(0), select->Time(1)};
}

// Each owner's next turn, oldest first.
absl::StatusOr<std::vector<Turn>> NextRound(Transaction& transaction, int due_class,
                                            const std::set<std::string>& owners) {
  std::vector<Turn> round;
  for (const std::string& owner : owners) {
    absl::StatusOr<std::optional<Turn>> turn = NextTurn(transaction, due_class, owner);
    if (!turn.ok()) return turn.status();
    if (turn->has_value()) round.push_back(**std::move(turn));
  }
  std::sort(round.begin(), round.end(), IsBefore);
  return round;
}

absl::Status Hold(Transaction& transaction, const TokenId& id) {
  absl::StatusOr<Statement> update = transaction.db.Prepare("UPDATE tokens SET next_attempt_time = ? WHERE id = ?");
  if (!update.ok()) return update.status();
  return update->Bind(1, transaction.now + kClaim).Bind(2, id).Run();
}

// Takes the row: it is not due for a while, and what was ACTIVE has expired.
absl::StatusOr<TokenRecord> Claim(Transaction& transaction, const TokenId& id) {
  absl::StatusOr<TokenRecord> record = LoadToken(transaction.db, id);
  if (!record.ok()) return record.status();
  if (!record->pending && record->token.state == TokenState::kActive) {
    Change change;
    change.to = TokenState::kRevoking;
    change.reason = RevokeReason::kTtl;
    change.next_attempt_time = transaction.now + kClaim;
    change.actor = "expiry";
    return Apply(transaction, *record, std::move(change));
  }
  const absl::Status held = Hold(transaction, id);
  if (!held.ok()) return held;
  record->next_attempt_time = transaction.now + kClaim;
  return record;
}

// Adds to `claimed` what is due in this class, until there are `limit`. The owners take turns, each with its oldest.
absl::Status ClaimClass(Transaction& transaction, int due_class, std::size_t limit, std::vector<TokenRecord>& claimed) {
  const auto missing = [&] { return static_cast<int>(limit - claimed.size()); };
  bool all = false;
  absl::StatusOr<std::set<std::string>> owners = OwnersAtAGlance(transaction, due_class, &all);
  if (owners.ok() && !all && static_cast<int>(owners->size()) < missing()) {
    owners = OwnersWhoWaitLongest(transaction, due_class, missing());
  }
  if (!owners.ok()) return owners.status();
  while (!owners->empty() && claimed.size() < limit) {
    const absl::StatusOr<std::vector<Turn>> round = NextRound(transaction, due_class, *owners);
    if (!round.ok()) return round.status();
    owners->clear();
    for (const Turn& turn : *round) {
      if (claimed.size() == limit) break;
      absl::StatusOr<TokenRecord> record = Claim(transaction, turn.id);
      if (!record.ok()) return record.status();
      claimed.push_back(*std::move(record));
      owners->insert(turn.owner);
    }
  }
  return absl::OkStatus();
}

// Adds the rows of this class behind `after` that are due, until there are `limit`.
absl::Status ListClass(Transaction& transaction, const DuePosition& after, std::size_t limit, DueList& list) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT " + std::string(TokenColumns()) +
      ", row FROM tokens INDEXED BY tokens_due WHERE due_class = ? AND (next_attempt_time, owner, row) > (?, ?, ?) "
      "AND next_attempt_time <= ? ORDER BY next_attempt_time, owner, row LIMIT ?");
  if (!select.ok()) return select.status();
  select->Bind(1, after.due_class).Bind(2, after.time).Bind(3, after.owner).Bind(4, after.row);
  select->Bind(5, transaction.now).Bind(6, static_cast<int>(limit - list.rows.size()));
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    list.rows.push_back(ReadRow(*select));
    const TokenRecord& last = list.rows.back();
    list.next = {after.due_class, *last.next_attempt_time, last.token.owner, select->Int(TokenColumnCount())};
  }
}

}  // namespace

absl::StatusOr<std::vector<TokenRecord>> ClaimDueRows(Transaction& transaction, int limit) {
  std::vector<TokenRecord> claimed;
  for (int due_class = 0; due_class < kClasses; ++due_class) {
    const absl::Status done = ClaimClass(transaction, due_class, static_cast<std::size_t>(limit), claimed);
    if (!done.ok()) return done;
  }
  return claimed;
}

absl::StatusOr<DueList> ListDueRows(Transaction& transaction, const std::optional<DuePosition>& after, int limit) {
  DueList list;
  DuePosition from = after.value_or(DuePosition{0, FromMicros(std::numeric_limits<std::int64_t>::min()), "", 0});
  const auto most = static_cast<std::size_t>(limit);
  for (; from.due_class < kSweepClass && list.rows.size() < most;) {
    const absl::Status done = ListClass(transaction, from, most, list);
    if (!done.ok()) return done;
    from = {from.due_class + 1, FromMicros(std::numeric_limits<std::int64_t>::min()), "", 0};
  }
  if (list.rows.size() < most) list.next.reset();
  return list;
}

absl::StatusOr<std::optional<WallTime>> NextDueTime(Transaction& transaction) {
  std::optional<WallTime> next;
  for (int due_class = 0; due_class < kClasses; ++due_class) {
    absl::StatusOr<Statement> select = transaction.db.Prepare(
        "SELECT next_attempt_time FROM tokens INDEXED BY tokens_due "
        "WHERE due_class = ? AND next_attempt_time IS NOT NULL ORDER BY next_attempt_time LIMIT 1");
    if (!select.ok()) return select.status();
    const absl::StatusOr<bool> row = select->Bind(1, due_class).Step();
    if (!row.ok()) return row.status();
    if (*row && (!next.has_value() || select->Time(0) < *next)) next = select->Time(0);
  }
  return next;
}

}  // namespace tokenbroker
