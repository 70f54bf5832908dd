#include "server/ledger/restores.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/json_writer.h"
#include "server/ledger/token_rows.h"
#include "server/ledger/unknown_rows.h"

namespace tokenbroker {
namespace {

constexpr Duration kOlder = hours(1);
constexpr Duration kBucket = minutes(1);
constexpr char kRestoredKey[] = "upstream_restored";

absl::StatusOr<std::vector<TokenId>> IdsWhere(SqliteDb& db, const char* condition) {
  absl::StatusOr<Statement> select = db.Prepare(absl::StrCat("SELECT id FROM tokens WHERE ", condition));
  if (!select.ok()) return select.status();
  std::vector<TokenId> ids;
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return ids;
    ids.push_back(select->Text(0));
  }
}

// Moves on to the next one that has tokens; false: there is none.
absl::StatusOr<bool> NextInstance(SqliteDb& db, std::string& instance) {
  absl::StatusOr<Statement> select =
      db.Prepare("SELECT instance FROM tokens WHERE instance > ? AND upstream_id > 0 ORDER BY instance LIMIT 1");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, instance).Step();
  if (!row.ok() || !*row) return row;
  instance = select->Text(0);
  return true;
}

absl::Status Abandon(Transaction& transaction, const TokenId& id, const std::string& actor, const std::string& why) {
  const absl::StatusOr<TokenRecord> row = LoadToken(transaction.db, id);
  if (!row.ok()) return row.status();
  Change change;
  change.to = TokenState::kAbandoned;
  change.actor = actor;
  change.why = why;
  return Apply(transaction, *row, std::move(change)).status();
}

// What is closed is looked for no more.
absl::Status ForgetLooks(Transaction& transaction) {
  absl::StatusOr<Statement> update = transaction.db.Prepare(
      "UPDATE tokens SET next_attempt_time = NULL "
      "WHERE state IN ('ABANDONED', 'REVOKED', 'EXPIRED') AND next_attempt_time IS NOT NULL");
  if (!update.ok()) return update.status();
  return update->Run();
}

}  // namespace

absl::Status RestoreWatch::Load(SqliteDb& db, WallTime now) {
  absl::StatusOr<Statement> meta = db.Prepare("SELECT 1 FROM meta WHERE key = ?");
  if (!meta.ok()) return meta.status();
  const absl::StatusOr<bool> noted = meta->Bind(1, kRestoredKey).Step();
  if (!noted.ok()) return noted.status();
  restored_ = *noted;
  std::string instance;
  for (;;) {
    const absl::StatusOr<bool> more = NextInstance(db, instance);
    if (!more.ok() || !*more) return more.status();
    absl::StatusOr<Statement> select = db.Prepare(
        "SELECT upstream_id FROM tokens WHERE instance = ? AND upstream_id > 0 AND create_time < ? "
        "ORDER BY upstream_id DESC LIMIT 1");
    if (!select.ok()) return select.status();
    const absl::StatusOr<bool> row = select->Bind(1, instance).Bind(2, now - kOlder).Step();
    if (!row.ok()) return row.status();
    if (*row) instances_[instance].old = select->Int(0);
  }
}

absl::Status RestoreWatch::Note(Transaction& transaction, const std::string& instance, std::int64_t upstream_id) {
  if (restored_) return Write(transaction, instance, upstream_id);
  Highest& highest = instances_[instance];
  auto& recent = highest.recent;
  // A minute is old once its last answer is.
  while (!recent.empty() && recent.front().first + kBucket <= transaction.boot - kOlder) {
    highest.old = std::max(highest.old, recent.front().second);
    recent.pop_front();
  }
  if (upstream_id >= highest.old) {
    if (recent.empty() || recent.back().first + kBucket <= transaction.boot) recent.emplace_back(transaction.boot, 0);
    recent.back().second = std::max(recent.back().second, upstream_id);
    return absl::OkStatus();
  }
  restored_ = true;
  return Write(transaction, instance, upstream_id);
}

absl::Status RestoreWatch::Write(Transaction& transaction, const std::string& instance, std::int64_t upstream_id) {
  absl::StatusOr<Statement> insert = transaction.db.Prepare("INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)");
  if (!insert.ok()) return insert.status();
  const absl::Status written = insert->Bind(1, kRestoredKey).Bind(2, std::to_string(MicrosOf(transaction.now))).Run();
  if (!written.ok() || transaction.db.Changes() == 0) return written;
  JsonWriter body;
  body.Object([&] {
    body.Field("instance", instance);
    body.Field("upstream_id", upstream_id);
    body.Field("highest_an_hour_ago", instances_[instance].old);
  });
  return transaction.chain->Append(transaction.db, {transaction.now, "gitlab.restored", "", "", body.Take()});
}

absl::Status FreeUpstreamId(Transaction& transaction, const std::string& instance, const MadeUpstream& made) {
  TokenId holder;
  {
    absl::StatusOr<Statement> select = transaction.db.Prepare(
        "SELECT id FROM tokens WHERE instance = ? AND upstream_id = ? AND upstream_name != ? "
        "AND state IN ('ACTIVE', 'REVOKING')");
    if (!select.ok()) return select.status();
    const absl::StatusOr<bool> row = select->Bind(1, instance).Bind(2, made.id).Bind(3, made.name).Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    holder = select->Text(0);
  }
  const absl::StatusOr<TokenRecord> gone = LoadToken(transaction.db, holder);
  if (!gone.ok()) return gone.status();
  const bool ttl = gone->token.revoke_reason == RevokeReason::kTtl;
  Change change;
  change.to = ttl ? TokenState::kExpired : TokenState::kRevoked;
  if (gone->token.state == TokenState::kActive) change.reason = RevokeReason::kUpstream;
  change.revoke_time = transaction.now;
  change.actor = "broker";
  change.why = NameOf(Proof::kAnotherToken);
  return Apply(transaction, *gone, std::move(change)).status();
}

absl::StatusOr<int> GiveUpLooks(Transaction& transaction) {
  // What the reconciler of the backup's time had found is found again.
  const absl::Status unknown = ForgetUnknownTokens(transaction.db);
  if (!unknown.ok()) return unknown;
  const absl::StatusOr<std::vector<TokenId>> pending = IdsWhere(transaction.db, "state = 'PENDING'");
  if (!pending.ok()) return pending.status();
  for (const TokenId& id : *pending) {
    const absl::Status done =
        Abandon(transaction, id, "restore", "restored from a backup: what it made is reported, not looked for");
    if (!done.ok()) return done;
  }
  const absl::Status done = ForgetLooks(transaction);
  if (!done.ok()) return done;
  return static_cast<int>(pending->size()) + static_cast<int>(transaction.db.Changes());
}

absl::StatusOr<int> CloseAllRows(Transaction& transaction, const std::string& new_broker) {
  const absl::StatusOr<std::vector<TokenId>> open =
      IdsWhere(transaction.db,
               "state IN ('PENDING', 'ACTIVE', 'REVOKING') OR (state = 'ABANDONED' AND next_attempt_time IS NOT NULL)");
  if (!open.ok()) return open.status();
  for (const TokenId& id : *open) {
    const absl::Status done = Abandon(transaction, id, "fork",
                                      "this ledger was forked for broker " + new_broker + ": the token is not its own");
    if (!done.ok()) return done;
  }
  absl::Status forgotten = ForgetLooks(transaction);
  if (forgotten.ok()) forgotten = ForgetUnknownTokens(transaction.db);
  if (!forgotten.ok()) return forgotten;
  absl::StatusOr<Statement> rename = transaction.db.Prepare("UPDATE meta SET value = ? WHERE key = 'broker'");
  if (!rename.ok()) return rename.status();
  const absl::Status renamed = rename->Bind(1, new_broker).Run();
  if (!renamed.ok()) return renamed;
  return static_cast<int>(open->size());
}

}  // namespace tokenbroker
