#include "server/ledger/schema.h"

#include <sys/stat.h>

#include <charconv>
#include <optional>

#include "absl/strings/str_cat.h"

namespace tokenbroker {
namespace {

// Times are microseconds since 1970 UTC. Columns are named as the fields of Token and TokenRecord are; scopes are
// separated by blanks, labels and captures are "key<TAB>value<LF>" (neither can hold a control character).
constexpr char kTables[] = R"sql(
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
  row INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  owner_rule TEXT NOT NULL,
  owner_captures TEXT NOT NULL,
  display_name TEXT NOT NULL,
  purpose TEXT NOT NULL,
  instance TEXT NOT NULL,
  target_kind TEXT NOT NULL,
  target_id INTEGER NOT NULL,
  target_path TEXT NOT NULL,
  scopes TEXT NOT NULL,
  access_level INTEGER NOT NULL,
  labels TEXT NOT NULL,
  state TEXT NOT NULL,
  revoke_requested INTEGER NOT NULL DEFAULT 0,
  revoke_reason TEXT NOT NULL DEFAULT '',
  predecessor TEXT NOT NULL DEFAULT '',
  successor TEXT NOT NULL DEFAULT '',
  upstream_id INTEGER,
  upstream_user_id INTEGER NOT NULL DEFAULT 0,
  upstream_name TEXT NOT NULL,
  upstream_expire_date TEXT,
  create_time INTEGER NOT NULL,
  expire_time INTEGER NOT NULL,
  give_up_time INTEGER NOT NULL,
  revoke_time INTEGER,
  last_used_time INTEGER,
  reconcile_time INTEGER,
  last_look INTEGER,
  role TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  parked INTEGER NOT NULL DEFAULT 0,
  next_attempt_time INTEGER,
  -- What is due is done in this order: what a caller asked for, expiry, other deletions, looks.
  due_class INTEGER NOT NULL AS (CASE WHEN state = 'REVOKING' AND revoke_reason = 'REQUESTED' THEN 0
                                      WHEN state = 'ACTIVE' OR (state = 'REVOKING' AND revoke_reason = 'TTL') THEN 1
                                      WHEN state = 'REVOKING' THEN 2
                                      ELSE 3 END) VIRTUAL
) STRICT;
-- One Token is one token at GitLab. Only a GitLab that was restored gives a number out again: then the first is gone.
CREATE UNIQUE INDEX tokens_live ON tokens (instance, upstream_id)
  WHERE upstream_id IS NOT NULL AND state IN ('ACTIVE', 'REVOKING');
CREATE INDEX tokens_upstream ON tokens (instance, upstream_id) WHERE upstream_id IS NOT NULL;
CREATE INDEX tokens_unseen ON tokens (COALESCE(reconcile_time, 0), id) WHERE state = 'ACTIVE';
CREATE INDEX tokens_target ON tokens (instance, target_kind, target_id, target_path) WHERE state = 'ACTIVE';
CREATE INDEX tokens_created ON tokens (owner, state, create_time, id);
CREATE INDEX tokens_expiring ON tokens (owner, state, expire_time, id);
-- The oldest of each class, and of each owner in it.
CREATE INDEX tokens_due ON tokens (due_class, next_attempt_time, owner) WHERE next_attempt_time IS NOT NULL;
CREATE INDEX tokens_turns ON tokens (due_class, owner, next_attempt_time) WHERE next_attempt_time IS NOT NULL;
-- What a caller has and makes under a role.
CREATE INDEX tokens_role ON tokens (owner, role, state, create_time);
CREATE INDEX tokens_parked ON tokens (id) WHERE parked = 1;

-- What counts against max_active: the open tokens (PENDING, ACTIVE, REVOKING) of a caller under a role. Changed in the
-- transaction that opens or closes a token.
CREATE TABLE quotas (
  owner TEXT NOT NULL,
  role TEXT NOT NULL,
  open_tokens INTEGER NOT NULL,
  PRIMARY KEY (owner, role)
) STRICT, WITHOUT ROWID;

-- What lists find tokens by besides: "target=user:42", "scope=read_api", "label=team", "label=team<TAB>payments".
CREATE TABLE token_terms (
  owner TEXT NOT NULL,
  term TEXT NOT NULL,
  closed INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  id TEXT NOT NULL,
  row INTEGER NOT NULL,
  PRIMARY KEY (owner, term, closed, create_time, id)
) STRICT, WITHOUT ROWID;
-- Which ids a path (in lower case) has stood for.
CREATE TABLE target_paths (
  kind TEXT NOT NULL,
  path TEXT NOT NULL,
  target_id INTEGER NOT NULL,
  PRIMARY KEY (kind, path, target_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
  caller TEXT NOT NULL,
  request_id TEXT NOT NULL,
  digest TEXT NOT NULL,
  token_id TEXT NOT NULL REFERENCES tokens (id),
  first_attempt_time INTEGER NOT NULL,
  PRIMARY KEY (caller, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_age ON requests (first_attempt_time);

-- The audit. Each process start is a writer with a chain of its own: hash = SHA-256(previous || canonical event).
CREATE TABLE events (
  writer TEXT NOT NULL,
  seq INTEGER NOT NULL,
  previous BLOB NOT NULL,
  hash BLOB NOT NULL,
  time INTEGER NOT NULL,
  kind TEXT NOT NULL,
  token_id TEXT NOT NULL,
  caller TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (writer, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_token ON events (token_id) WHERE token_id != '';
CREATE INDEX events_time ON events (time);
)sql";

// Came with version 3.
constexpr char kUnknownTables[] = R"sql(
-- Live tokens at GitLab with the broker's tag that no row of `tokens` explains. `list`: in which of GitLab's lists it
-- was found, `pass`: when the newest pass began that saw it.
CREATE TABLE unknown_tokens (
  instance TEXT NOT NULL,
  upstream_id INTEGER NOT NULL,
  upstream_user_id INTEGER NOT NULL,
  upstream_name TEXT NOT NULL,
  upstream_expire_date TEXT,
  marked_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  target_kind TEXT,
  target_id INTEGER,
  target_path TEXT,
  owner TEXT NOT NULL,
  purpose TEXT NOT NULL,
  scopes TEXT NOT NULL,
  access_level INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  expire_time INTEGER,
  last_used_time INTEGER,
  find_time INTEGER NOT NULL,
  list TEXT NOT NULL,
  pass INTEGER NOT NULL,
  PRIMARY KEY (instance, upstream_id)
) STRICT, WITHOUT ROWID;
-- The newest pass over an instance's lists that GitLab responded to: when it began.
CREATE TABLE passes (instance TEXT PRIMARY KEY, began INTEGER NOT NULL) STRICT, WITHOUT ROWID;
)sql";

// From version 1: how the owners of its tokens were recognised is not known.
constexpr char kToVersion2[] = R"sql(
ALTER TABLE tokens ADD COLUMN owner_rule TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN owner_captures TEXT NOT NULL DEFAULT '';
UPDATE meta SET value = '2' WHERE key = 'schema';
)sql";

// From version 2: counters instead of counts, and unknown tokens in the ledger.
constexpr char kToVersion3[] = R"sql(
CREATE TABLE quotas (
  owner TEXT NOT NULL,
  role TEXT NOT NULL,
  open_tokens INTEGER NOT NULL,
  PRIMARY KEY (owner, role)
) STRICT, WITHOUT ROWID;
INSERT INTO quotas SELECT owner, role, COUNT(*) FROM tokens
  WHERE state IN ('PENDING', 'ACTIVE', 'REVOKING') GROUP BY owner, role;
UPDATE meta SET value = '3' WHERE key = 'schema';
)sql";

absl::StatusOr<std::optional<std::string>> ReadMeta(SqliteDb& db, std::string_view key) {
  absl::StatusOr<Statement> select = db.Prepare("SELECT value FROM meta WHERE key = ?");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, key).Step();
  if (!row.ok()) return row.status();
  return *row ? std::optional(select->Text(0)) : std::nullopt;
}

absl::Status WriteMeta(SqliteDb& db, std::string_view key, std::string_view value) {
  absl::StatusOr<Statement> insert = db.Prepare("INSERT INTO meta (key, value) VALUES (?, ?)");
  if (!insert.ok()) return insert.status();
  return insert->Bind(1, key).Bind(2, value).Run();
}

absl::StatusOr<bool> HasTables(SqliteDb& db) {
  absl::StatusOr<Statement> select = db.Prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'");
  if (!select.ok()) return select.status();
  return select->Step();
}

absl::Status Create(SqliteDb& db, const std::string& broker) {
  absl::Status done = db.Execute(kTables);
  if (done.ok()) done = db.Execute(kUnknownTables);
  if (done.ok()) done = WriteMeta(db, "schema", std::to_string(kSchemaVersion));
  if (done.ok()) done = WriteMeta(db, "broker", broker);
  if (done.ok()) done = WriteMeta(db, "last_batch", "");
  return done;
}

}  // namespace

namespace {

// 0: none that can be read.
absl::StatusOr<int> VersionOf(SqliteDb& db) {
  const absl::StatusOr<std::optional<std::string>> version_text = ReadMeta(db, "schema");
  if (!version_text.ok()) return version_text.status();
  int version = 0;
  if (version_text->has_value()) {
    const std::string& text = **version_text;
    std::from_chars(text.data(), text.data() + text.size(), version);
  }
  return version;
}

absl::Status UnknownVersion(const std::string& path, int version) {
  return absl::FailedPreconditionError(absl::StrCat("the ledger ", path, " has schema version ", version,
                                                    "; this program knows version ", kSchemaVersion,
                                                    ". Start the program that wrote it, or a newer one"));
}

absl::Status NotALedger(const std::string& path, const std::string& why) {
  return absl::FailedPreconditionError(
      absl::StrCat(path, " is not a ledger of a token broker: ", why, ". Name another file in ledger.sqlite_file"));
}

absl::Status OtherBroker(const std::string& path, const std::string& owner, const std::string& broker) {
  return absl::FailedPreconditionError(
      absl::StrCat("the ledger ", path, " belongs to broker \"", owner, "\", but the configuration says \"", broker,
                   "\": with another name, tokens at GitLab would not be found again"));
}

}  // namespace

absl::StatusOr<std::string> BrokerOf(SqliteDb& db, const std::string& path) {
  const absl::StatusOr<int> version = VersionOf(db);
  if (!version.ok()) return version.status();
  if (*version != kSchemaVersion) return UnknownVersion(path, *version);
  const absl::StatusOr<std::optional<std::string>> owner = ReadMeta(db, "broker");
  if (!owner.ok()) return owner.status();
  return owner->value_or("");
}

namespace {

absl::Status Upgrade(SqliteDb& db) {
  const absl::StatusOr<int> version = VersionOf(db);
  if (!version.ok()) return version.status();
  absl::Status done;
  if (*version == 1) done = db.Execute(kToVersion2);
  if (done.ok() && (*version == 1 || *version == 2)) {
    done = db.Execute(kToVersion3);
    if (done.ok()) done = db.Execute(kUnknownTables);
  }
  return done;
}

absl::Status Check(SqliteDb& db, const std::string& path, const std::string& broker) {
  const absl::Status upgraded = Upgrade(db);
  if (!upgraded.ok()) return upgraded;
  const absl::StatusOr<std::string> owner = BrokerOf(db, path);
  if (!owner.ok()) return owner.status();
  return *owner == broker ? absl::OkStatus() : OtherBroker(path, *owner, broker);
}

}  // namespace

absl::Status CheckSchema(SqliteDb& db, const std::string& path, const std::string& broker) {
  const absl::StatusOr<bool> tables = HasTables(db);
  if (!tables.ok()) return tables.status();
  if (!*tables) return absl::OkStatus();
  const absl::StatusOr<int> version = VersionOf(db);
  if (!version.ok()) return version.status();
  if (*version < 1 || *version > kSchemaVersion) return UnknownVersion(path, *version);
  const absl::StatusOr<std::optional<std::string>> owner = ReadMeta(db, "broker");
  if (!owner.ok()) return owner.status();
  return owner->value_or("") == broker ? absl::OkStatus() : OtherBroker(path, owner->value_or(""), broker);
}

absl::Status CheckIsLedger(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || info.st_size == 0) return absl::OkStatus();
  const absl::StatusOr<std::unique_ptr<SqliteDb>> db = SqliteDb::OpenUnchanged(path);
  return db.ok() ? CheckIsLedger(**db, path) : NotALedger(path, std::string(db.status().message()));
}

absl::Status CheckIsLedger(SqliteDb& db, const std::string& path) {
  absl::StatusOr<Statement> select = db.Prepare(
      "SELECT COUNT(*), COUNT(CASE WHEN name IN ('meta', 'tokens', 'requests', 'events') THEN 1 END) "
      "FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
  if (!select.ok()) return NotALedger(path, std::string(select.status().message()));
  const absl::StatusOr<bool> row = select->Step();
  if (!row.ok()) return NotALedger(path, std::string(row.status().message()));
  // A start that ended before its first commit leaves a database without tables.
  const bool is_ours = select->Int(0) == 0 || select->Int(1) == 4;
  return is_ours ? absl::OkStatus() : NotALedger(path, "it is a database of another program");
}

absl::Status PrepareSchema(SqliteDb& db, const std::string& path, const std::string& broker) {
  absl::Status done = db.Execute("BEGIN IMMEDIATE");
  if (!done.ok()) return done;
  const absl::StatusOr<bool> tables = HasTables(db);
  done = tables.ok() ? (*tables ? Check(db, path, broker) : Create(db, broker)) : tables.status();
  if (done.ok()) done = db.Execute("COMMIT");
  if (!done.ok()) (void)db.Execute("ROLLBACK");
  return done;
}

}  // namespace tokenbroker
