#pragma once
// SQLite without its sharp edges: a connection and its cached statements, errors as absl::Status. The only file that
// knows sqlite3.h.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tokenbroker {

// Sets up SQLite for this process; later calls do nothing. SqliteDb calls it: others only if they use SQLite before.
void ConfigureSqlite();

// A prepared statement in use. Reset when destroyed, and ready for the next use. Columns and parameters count from 0
// and 1, as SQLite's do. What goes wrong while binding shows in Step or Run.
class Statement {
 public:
  Statement(Statement&& other) noexcept : statement_(other.statement_) { other.statement_ = nullptr; }
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  Statement& Bind(int parameter, std::int64_t value);
  Statement& Bind(int parameter, int value) { return Bind(parameter, std::int64_t{value}); }
  Statement& Bind(int parameter, bool value) { return Bind(parameter, std::int64_t{value ? 1 : 0}); }
  Statement& Bind(int parameter, std::string_view text);  // Copied.
  Statement& Bind(int parameter, const char* text) { return Bind(parameter, std::string_view(text)); }
  Statement& Bind(int parameter, const std::string& text) { return Bind(parameter, std::string_view(text)); }
  Statement& BindBlob(int parameter, std::string_view bytes);
  Statement& BindNull(int parameter);
  Statement& Bind(int parameter, WallTime time) { return Bind(parameter, MicrosOf(time)); }
  template <typename T>
  Statement& Bind(int parameter, const std::optional<T>& value) {
    return value.has_value() ? Bind(parameter, *value) : BindNull(parameter);
  }

  // True: there is a row to read. False: done.
  absl::StatusOr<bool> Step();
  // Steps to the end.
  absl::Status Run();

  std::int64_t Int(int column) const;
  std::string Text(int column) const;
  WallTime Time(int column) const { return FromMicros(Int(column)); }
  bool IsNull(int column) const;
  std::optional<WallTime> OptionalTime(int column) const {
    return IsNull(column) ? std::nullopt : std::optional(Time(column));
  }

 private:
  friend class SqliteDb;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  sqlite3_stmt* statement_;
};

// One connection, used on one thread at a time. Every failure is UNAVAILABLE, reason LEDGER_UNAVAILABLE, with SQLite's
// words.
class SqliteDb {
 public:
  // A writer makes the file (mode 0600) if it is missing, in WAL mode with synchronous=FULL: what is committed is on
  // the disk. It waits for another process's lock for at most `busy`. `vfs`: SQLite's name of the file system; empty:
  // the machine's.
  static absl::StatusOr<std::unique_ptr<SqliteDb>> OpenWriter(const std::string& path, Duration busy,
                                                              const std::string& vfs = "");
  static absl::StatusOr<std::unique_ptr<SqliteDb>> OpenReader(const std::string& path, Duration busy,
                                                              const std::string& vfs = "");
  // A reader that changes nothing on the disk, not by a byte, and makes no file beside the ledger's; it also reads what
  // is in the file's write-ahead log, if a process has left one or still writes it.
  static absl::StatusOr<std::unique_ptr<SqliteDb>> OpenUnchanged(const std::string& path);
  // For a file that becomes a copy: without journal, since nobody uses it before it is whole.
  static absl::StatusOr<std::unique_ptr<SqliteDb>> OpenCopy(const std::string& path, Duration busy);
  ~SqliteDb();
  SqliteDb(const SqliteDb&) = delete;
  SqliteDb& operator=(const SqliteDb&) = delete;

  // Runs statements without parameters.
  absl::Status Execute(const char* sql);
  // Replaces the content by that of `source` as it is at one instant, with SQLite's backup API. Others may write the
  // source meanwhile.
  absl::Status CopyFrom(SqliteDb& source);
  // The first column of the first row; empty if there is none.
  absl::StatusOr<std::string> FirstText(std::string_view sql);
  // Prepared once for each text.
  absl::StatusOr<Statement> Prepare(std::string_view sql);

  // Rows that the last statement changed, and that all have changed so far.
  std::int64_t Changes() const;
  std::int64_t TotalChanges() const;
  // The INTEGER PRIMARY KEY of the row that was inserted last.
  std::int64_t LastRow() const;
  bool InTransaction() const;

 private:
  explicit SqliteDb(sqlite3* db) : db_(db) {}
  static absl::StatusOr<std::unique_ptr<SqliteDb>> Open(const std::string& path, int flags, Duration busy,
                                                        const std::string& vfs);

  sqlite3* db_;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;
};

}  // namespace tokenbroker
