#include "server/ledger/filled_ledger.h"

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/random.h"
#include "server/domain/expiry.h"
#include "server/domain/marker.h"
#include "server/ledger/schema.h"
#include "server/ledger/sqlite_db.h"
#include "server/ledger/token_rows.h"

namespace tokenbroker {
namespace {

// Above what any simulated GitLab gives out by itself.
constexpr std::int64_t kFirstUpstreamId = 1'000'000'000;

// How the table's indexes and triggers are made. They go while it is filled: making them once is cheaper.
absl::StatusOr<std::vector<std::string>> TakeOff(SqliteDb& db) {
  std::vector<std::string> drops;
  std::vector<std::string> makes;
  {
    absl::StatusOr<Statement> select = db.Prepare(
        "SELECT type || ' ' || name, sql FROM sqlite_master "
        "WHERE tbl_name = 'tokens' AND type = 'index' AND sql IS NOT NULL");
    if (!select.ok()) return select.status();
    for (;;) {
      const absl::StatusOr<bool> row = select->Step();
      if (!row.ok()) return row.status();
      if (!*row) break;
      drops.push_back("DROP " + select->Text(0));
      makes.push_back(select->Text(1));
    }
  }
  for (const std::string& drop : drops) {
    const absl::Status dropped = db.Execute(drop.c_str());
    if (!dropped.ok()) return dropped;
  }
  return makes;
}

TokenRecord MakeRecord(const LedgerFilling& filling, const std::string& broker, int i, Random& random) {
  TokenRecord record;
  Token& token = record.token;
  token.create_time = filling.now - seconds(filling.tokens - i);
  token.id = MakeSortableId(token.create_time, random);
  token.owner = filling.owner;
  token.display_name = "nightly export";
  const int user = 42 + i % filling.users;
  token.target = {"main", TargetKind::kUser, user, user == 42 ? "demo-user" : "user-" + std::to_string(user)};
  token.scopes = {"read_user", "read_repository"};
  token.labels = {{"team", "payments"}};
  token.upstream_id = FilledUpstreamId(i);
  token.upstream_user_id = user;
  token.upstream_name = UpstreamNameOf(token.display_name, broker, token.id);
  record.give_up_time = token.create_time + kGiveUpAfter;
  if (i % filling.active_every == 0) {
    token.state = TokenState::kActive;
    token.expire_time = filling.now + filling.active_for(i);
    record.next_attempt_time = token.expire_time;
  } else {
    token.state = TokenState::kExpired;
    token.revoke_reason = RevokeReason::kTtl;
    token.expire_time = token.create_time + minutes(15);
    token.revoke_time = token.expire_time;
  }
  token.upstream_expire_date = DateOf(token.expire_time) + std::chrono::days(1);
  return record;
}

absl::Status Fill(SqliteDb& db, const std::string& broker, const LedgerFilling& filling) {
  // Nothing here need survive a crash.
  absl::Status done = db.Execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-500000");
  if (!done.ok()) return done;
  const absl::StatusOr<std::vector<std::string>> makes = TakeOff(db);
  if (!makes.ok()) return makes.status();
  SystemRandom random;
  done = db.Execute("BEGIN");
  for (int i = 0; done.ok() && i < filling.tokens; ++i) {
    done = InsertToken(db, MakeRecord(filling, broker, i, random));
  }
  if (done.ok()) done = db.Execute("COMMIT");
  for (const std::string& make : *makes) {
    if (done.ok()) done = db.Execute(make.c_str());
  }
  if (done.ok()) done = db.Execute("PRAGMA journal_mode=WAL");
  return done;
}

}  // namespace

std::int64_t FilledUpstreamId(int i) { return kFirstUpstreamId + i; }

absl::Status WriteFilledLedger(const std::string& path, const std::string& broker, const LedgerFilling& filling) {
  const absl::StatusOr<std::unique_ptr<SqliteDb>> db = SqliteDb::OpenWriter(path, seconds(1));
  if (!db.ok()) return db.status();
  const absl::Status schema = PrepareSchema(**db, path, broker);
  if (!schema.ok()) return schema;
  return Fill(**db, broker, filling);
}

}  // namespace tokenbroker
