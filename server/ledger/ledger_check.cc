#include "server/ledger/ledger_check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "server/ledger/lock_file.h"
#include "server/ledger/schema.h"
#include "server/ledger/sqlite_db.h"
#include "server/ledger/wal_guard.h"

namespace tokenbroker {
namespace {

absl::Status Unusable(const std::string& path, const std::string& why) {
  return absl::FailedPreconditionError(absl::StrCat("the ledger ", path, " cannot be used: ", why));
}

bool MayUse(const std::string& path, int how) { return faccessat(AT_FDCWD, path.c_str(), how, AT_EACCESS) == 0; }

// SQLite makes files beside the ledger's.
absl::Status CheckFolder(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? std::string(1, '.') : parent.string();
  struct stat info {};
  if (stat(folder.c_str(), &info) != 0) return Unusable(path, absl::StrCat("folder ", folder, ": ", strerror(errno)));
  if (!S_ISDIR(info.st_mode)) return Unusable(path, absl::StrCat(folder, " is not a folder"));
  if (!MayUse(folder, W_OK | X_OK)) {
    return Unusable(path, absl::StrCat("folder ", folder, " cannot be written: ", strerror(errno)));
  }
  return absl::OkStatus();
}

// A file that is there must be a file that may be read and written.
absl::Status CheckFile(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : Unusable(path, strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) return Unusable(path, "it is not a file");
  if (!MayUse(path, R_OK | W_OK)) return Unusable(path, absl::StrCat("it cannot be written: ", strerror(errno)));
  return absl::OkStatus();
}

absl::Status CheckContent(const std::string& path, const std::string& broker) {
  const absl::Status log = CheckLogBelongs(path);
  if (!log.ok()) return log;
  const absl::Status ours = CheckIsLedger(path);
  if (!ours.ok()) return ours;
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || info.st_size == 0) return absl::OkStatus();
  const absl::StatusOr<std::unique_ptr<SqliteDb>> db = SqliteDb::OpenUnchanged(path);
  return db.ok() ? CheckSchema(**db, path, broker) : db.status();
}

}  // namespace

std::vector<absl::Status> FindLedgerErrors(const std::string& path, const std::string& broker) {
  const absl::Status folder = CheckFolder(path);
  if (!folder.ok()) return {folder};
  std::vector<absl::Status> errors;
  const auto keep = [&errors](const absl::Status& status) {
    if (!status.ok()) errors.push_back(status);
    return status.ok();
  };
  const bool usable = keep(CheckFile(path));
  keep(CheckFile(LockFile::PathOf(path)));
  keep(LockFile::CheckNames(path));
  if (usable) keep(CheckContent(path, broker));
  return errors;
}

}  // namespace tokenbroker
