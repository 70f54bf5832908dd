#include "server/ledger/backup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/ledger/lock_file.h"
#include "server/ledger/schema.h"
#include "server/ledger/sqlite_db.h"
#include "server/ledger/wal_guard.h"

namespace tokenbroker {
namespace {

constexpr Duration kBusy = seconds(5);

absl::Status Failed(const std::string& backup, std::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat("the backup ", backup, " was not made: ", std::string(what)));
}

bool Exists(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0;
}

// The unfinished copy, beside the backup's name. Removed unless it was given that name.
class Unfinished {
 public:
  static absl::StatusOr<Unfinished> Make(const std::string& backup) {
    std::string path = backup + ".unfinished-XXXXXX";
    const int descriptor = mkostemp(path.data(), O_CLOEXEC);  // Mode 0600.
    if (descriptor < 0) return Failed(backup, std::strerror(errno));
    close(descriptor);
    return Unfinished(std::move(path));
  }
  Unfinished(Unfinished&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  Unfinished& operator=(Unfinished&&) = delete;
  ~Unfinished() {
    if (path_.empty()) return;
    for (const char* const end : {"", "-journal", "-wal", "-shm"}) unlink((path_ + end).c_str());
  }

  const std::string& path() const { return path_; }

  // Fails if something has that name by now.
  absl::Status NameIt(const std::string& backup) {
    const int folder = open(FolderOf(backup).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return Failed(backup, std::strerror(errno));
    // Some file systems have no hard links, others no rename that overwrites nothing.
    bool named = link(path_.c_str(), backup.c_str()) == 0;
    if (named) {
      unlink(path_.c_str());
    } else if (errno != EEXIST) {
      named = renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, backup.c_str(), RENAME_NOREPLACE) == 0;
    }
    const int error = errno;
    if (named) path_.clear();
    fsync(folder);
    close(folder);
    return named ? absl::OkStatus() : Failed(backup, std::strerror(error));
  }

 private:
  explicit Unfinished(std::string path) : path_(std::move(path)) {}
  static std::string FolderOf(const std::string& file) {
    const std::string folder = std::filesystem::path(file).parent_path().string();
    return folder.empty() ? "." : folder;
  }

  std::string path_;
};

// Leaves a copy of all of `source` in the file `path`, verified; the number of tokens.
absl::StatusOr<std::int64_t> Copy(SqliteDb& source, const std::string& path) {
  const absl::StatusOr<std::unique_ptr<SqliteDb>> copy = SqliteDb::OpenCopy(path, kBusy);
  if (!copy.ok()) return copy.status();
  absl::Status done = (*copy)->CopyFrom(source);
  // One file without a log, which no copying of files can tear apart.
  if (done.ok()) done = (*copy)->Execute("PRAGMA synchronous=FULL; PRAGMA journal_mode=DELETE;");
  if (!done.ok()) return done;
  const absl::StatusOr<std::string> mode = (*copy)->FirstText("PRAGMA journal_mode");
  if (!mode.ok()) return mode.status();
  if (*mode != "delete") return absl::InternalError("its journal mode is " + *mode);
  const absl::StatusOr<std::string> checked = (*copy)->FirstText("PRAGMA integrity_check(1)");
  if (!checked.ok()) return checked.status();
  if (*checked != "ok") return absl::DataLossError("it is damaged, as the ledger may be: " + *checked);
  const absl::Status ours = CheckIsLedger(**copy, path);
  if (!ours.ok()) return ours;
  absl::StatusOr<Statement> count = (*copy)->Prepare("SELECT COUNT(*) FROM tokens");
  if (!count.ok()) return count.status();
  const absl::StatusOr<bool> row = count->Step();
  if (!row.ok()) return row.status();
  return count->Int(0);
}

}  // namespace

absl::StatusOr<std::int64_t> BackupLedger(const std::string& path, const std::string& backup) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return Failed(backup, absl::StrCat("there is no ledger ", path));
  for (const char* const end : {"", "-journal", "-wal"}) {
    if (!Exists(backup + end)) continue;
    return Failed(backup, absl::StrCat(backup, end, " exists already, and a backup overwrites nothing"));
  }
  absl::Status done = CheckLogBelongs(path);
  if (done.ok()) done = CheckIsLedger(path);
  if (!done.ok()) return done;
  const absl::StatusOr<std::unique_ptr<SqliteDb>> source = SqliteDb::OpenReader(path, kBusy);
  if (!source.ok()) return Failed(backup, std::string(source.status().message()));
  absl::StatusOr<Unfinished> unfinished = Unfinished::Make(backup);
  if (!unfinished.ok()) return unfinished.status();
  const absl::StatusOr<std::int64_t> tokens = Copy(**source, unfinished->path());
  if (!tokens.ok()) return Failed(backup, std::string(tokens.status().message()));
  done = unfinished->NameIt(backup);
  if (!done.ok()) return done;
  return tokens;
}

}  // namespace tokenbroker
