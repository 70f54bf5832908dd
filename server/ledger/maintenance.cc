#include "server/ledger/maintenance.h"

#include <sys/stat.h>

#include <functional>
#include <memory>

#include "absl/strings/str_cat.h"
#include "server/domain/marker.h"
#include "server/ledger/audit_chain.h"
#include "server/ledger/lock_file.h"
#include "server/ledger/restores.h"
#include "server/ledger/schema.h"
#include "server/ledger/sqlite_db.h"
#include "server/ledger/strand.h"
#include "server/ledger/wal_guard.h"

namespace tokenbroker {
namespace {

constexpr Duration kBusy = seconds(5);

using Work = std::function<absl::StatusOr<int>(Transaction&)>;

absl::StatusOr<int> InTransaction(SqliteDb& db, WallTime now, Random& random, const Work& work) {
  AuditChain chain(random);
  absl::Status done = db.Execute("BEGIN IMMEDIATE");
  if (!done.ok()) return done;
  Transaction transaction{db, &chain, now, BootTime()};
  absl::StatusOr<int> rows = work(transaction);
  done = rows.ok() ? db.Execute("COMMIT") : rows.status();
  if (done.ok()) return rows;
  (void)db.Execute("ROLLBACK");
  return done;
}

// The open file, with nobody else in it.
struct Opened {
  LockFile lock;
  std::unique_ptr<SqliteDb> db;
};

absl::StatusOr<Opened> Open(const std::string& path) {
  struct stat there {};
  if (stat(path.c_str(), &there) != 0) return absl::NotFoundError(absl::StrCat("there is no ledger ", path));
  absl::StatusOr<LockFile> lock = LockFile::Take(path);
  if (!lock.ok()) return lock.status();
  absl::Status usable = CheckLogBelongs(path);
  if (usable.ok()) usable = CheckIsLedger(path);
  if (!usable.ok()) return usable;
  absl::StatusOr<std::unique_ptr<SqliteDb>> db = SqliteDb::OpenWriter(path, kBusy);
  if (!db.ok()) return db.status();
  return Opened{*std::move(lock), *std::move(db)};
}

}  // namespace

absl::StatusOr<int> GiveUpLooksIn(const std::string& path, const std::string& broker, WallTime now, Random& random) {
  const absl::StatusOr<Opened> opened = Open(path);
  if (!opened.ok()) return opened.status();
  const absl::Status schema = PrepareSchema(*opened->db, path, broker);
  if (!schema.ok()) return schema;
  return InTransaction(*opened->db, now, random, GiveUpLooks);
}

absl::StatusOr<int> ForkLedger(const std::string& path, const std::string& new_broker, WallTime now, Random& random) {
  if (!IsBrokerName(new_broker)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", new_broker, "\" is no broker's name: 2 to 12 characters of [a-z0-9]"));
  }
  const absl::StatusOr<Opened> opened = Open(path);
  if (!opened.ok()) return opened.status();
  const absl::StatusOr<std::string> owner = BrokerOf(*opened->db, path);
  if (!owner.ok()) return owner.status();
  if (*owner == new_broker) {
    return absl::InvalidArgumentError(absl::StrCat("the ledger ", path, " belongs to broker \"", new_broker,
                                                   "\" already; a fork needs a name of its own"));
  }
  return InTransaction(*opened->db, now, random,
                       [&](Transaction& transaction) { return CloseAllRows(transaction, new_broker); });
}

}  // namespace tokenbroker
