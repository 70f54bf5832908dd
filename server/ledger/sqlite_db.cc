#include "server/ledger/sqlite_db.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "server/base/error.h"

namespace tokenbroker {
namespace {

absl::Status Failure(sqlite3* db, std::string_view what) {
  const int code = db == nullptr ? SQLITE_NOMEM : sqlite3_extended_errcode(db);
  const char* words = db == nullptr ? "out of memory" : sqlite3_errmsg(db);
  return Error(absl::StatusCode::kUnavailable, "LEDGER_UNAVAILABLE",
               "the ledger cannot " + std::string(what) + ": " + words + " (SQLite " + std::to_string(code) + ")")
      .RetryAfter(seconds(1));
}

// PASSIVE checkpoints run when the log has this many pages: four times SQLite's default, for fewer of them under load.
constexpr char kWriterPragmas[] =
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=FULL;"
    "PRAGMA foreign_keys=ON;"
    "PRAGMA wal_autocheckpoint=4000;"
    "PRAGMA temp_store=MEMORY;"
    "PRAGMA trusted_schema=OFF;";

}  // namespace

void ConfigureSqlite() {
  // Statistics of memory, which nobody reads, cost a lock of the whole process with every allocation.
  [[maybe_unused]] static const int configured = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Statement& Statement::Bind(int parameter, std::int64_t value) {
  sqlite3_bind_int64(statement_, parameter, value);
  return *this;
}

Statement& Statement::Bind(int parameter, std::string_view text) {
  sqlite3_bind_text64(statement_, parameter, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_TRANSIENT,
                      SQLITE_UTF8);
  return *this;
}

Statement& Statement::BindBlob(int parameter, std::string_view bytes) {
  sqlite3_bind_blob64(statement_, parameter, bytes.data(), bytes.size(), SQLITE_TRANSIENT);
  return *this;
}

Statement& Statement::BindNull(int parameter) {
  sqlite3_bind_null(statement_, parameter);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return Failure(sqlite3_db_handle(statement_), "be read or written");
}

absl::Status Statement::Run() {
  for (;;) {
    const absl::StatusOr<bool> row = Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
  }
}

std::int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Statement::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr ? "" : std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

bool Statement::IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

absl::StatusOr<std::unique_ptr<SqliteDb>> SqliteDb::Open(const std::string& path, int flags, Duration busy,
                                                         const std::string& vfs) {
  ConfigureSqlite();
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                                   vfs.empty() ? nullptr : vfs.c_str());
  std::unique_ptr<SqliteDb> db(new SqliteDb(raw));
  if (code != SQLITE_OK) return Failure(raw, absl::StrCat("open ", path));
  sqlite3_busy_timeout(raw, static_cast<int>(duration_cast<milliseconds>(busy).count()));
  return db;
}

absl::StatusOr<std::unique_ptr<SqliteDb>> SqliteDb::OpenWriter(const std::string& path, Duration busy,
                                                               const std::string& vfs) {
  const mode_t before = umask(0077);
  absl::StatusOr<std::unique_ptr<SqliteDb>> db = Open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, busy, vfs);
  const absl::Status set_up = db.ok() ? (*db)->Execute(kWriterPragmas) : db.status();
  umask(before);
  if (!set_up.ok()) return set_up;
  absl::StatusOr<Statement> mode = (*db)->Prepare("PRAGMA journal_mode");
  if (!mode.ok()) return mode.status();
  const absl::StatusOr<bool> row = mode->Step();
  if (!row.ok()) return row.status();
  // SQLite falls back without an error where shared memory does not work, on network file systems for one.
  if (!*row || mode->Text(0) != "wal") {
    return absl::FailedPreconditionError(
        absl::StrCat("the ledger ", path, " must lie on a local disk: SQLite cannot use its WAL mode there"));
  }
  return db;
}

absl::StatusOr<std::unique_ptr<SqliteDb>> SqliteDb::OpenReader(const std::string& path, Duration busy,
                                                               const std::string& vfs) {
  return Open(path, SQLITE_OPEN_READONLY, busy, vfs);
}

absl::StatusOr<std::unique_ptr<SqliteDb>> SqliteDb::OpenCopy(const std::string& path, Duration busy) {
  absl::StatusOr<std::unique_ptr<SqliteDb>> db = Open(path, SQLITE_OPEN_READWRITE, busy, "");
  const absl::Status set_up =
      db.ok() ? (*db)->Execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=FULL;") : db.status();
  if (!set_up.ok()) return set_up;
  return db;
}

absl::StatusOr<std::unique_ptr<SqliteDb>> SqliteDb::OpenUnchanged(const std::string& path) {
  // Beside a log, its index is there as well; SQLite reads both without writing (readonly_shm). Without an index, it
  // would make one: then there is nothing to read but the file itself (immutable).
  struct stat info {};
  const bool has_log =
      stat((path + "-wal").c_str(), &info) == 0 && info.st_size > 0 && stat((path + "-shm").c_str(), &info) == 0;
  std::string uri = "file:";
  for (const char each : path) {
    if (each == '%' || each == '?' || each == '#') {
      absl::StrAppend(&uri, "%", absl::Hex(static_cast<unsigned char>(each), absl::kZeroPad2));
    } else {
      uri.push_back(each);
    }
  }
  uri += has_log ? "?mode=ro&readonly_shm=1" : "?mode=ro&immutable=1";
  return Open(uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, seconds(5), "");
}

SqliteDb::~SqliteDb() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

absl::Status SqliteDb::Execute(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return absl::OkStatus();
  return Failure(db_, "be written");
}

absl::Status SqliteDb::CopyFrom(SqliteDb& source) {
  sqlite3_backup* const backup = sqlite3_backup_init(db_, "main", source.db_, "main");
  if (backup == nullptr) return Failure(db_, "be copied");
  // In one step: it reads one snapshot, which in WAL mode keeps no writer waiting.
  sqlite3_backup_step(backup, -1);
  return sqlite3_backup_finish(backup) == SQLITE_OK ? absl::OkStatus() : Failure(db_, "be copied");
}

absl::StatusOr<std::string> SqliteDb::FirstText(std::string_view sql) {
  absl::StatusOr<Statement> statement = Prepare(sql);
  if (!statement.ok()) return statement.status();
  const absl::StatusOr<bool> row = statement->Step();
  if (!row.ok()) return row.status();
  return *row ? statement->Text(0) : "";
}

absl::StatusOr<Statement> SqliteDb::Prepare(std::string_view sql) {
  const auto cached = statements_.find(sql);
  if (cached != statements_.end()) return Statement(cached->second);
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return Failure(db_, "prepare a statement");
  statements_.emplace(std::string(sql), statement);
  return Statement(statement);
}

std::int64_t SqliteDb::Changes() const { return sqlite3_changes64(db_); }
std::int64_t SqliteDb::TotalChanges() const { return sqlite3_total_changes64(db_); }
std::int64_t SqliteDb::LastRow() const { return sqlite3_last_insert_rowid(db_); }
bool SqliteDb::InTransaction() const { return sqlite3_get_autocommit(db_) == 0; }

}  // namespace tokenbroker
