#include "server/ledger/wal_guard.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/random.h"
#include "server/ledger/lock_file.h"

namespace tokenbroker {
namespace {

// https://www.sqlite.org/fileformat2.html
constexpr std::size_t kHeaderBytes = 100;
constexpr std::size_t kReadVersion = 19;
constexpr std::size_t kUserVersion = 60;
constexpr std::uintmax_t kLogHeaderBytes = 32;
constexpr char kWalMode = 2;

std::string LogOf(const std::string& file) { return file + "-wal"; }
std::string RunFileOf(const std::string& file) { return file + "-run"; }

struct Header {
  bool is_wal = false;
  std::uint32_t run = 0;
};

// std::nullopt if there is no file, or a shorter one.
std::optional<Header> ReadHeader(const std::string& file) {
  std::array<char, kHeaderBytes> bytes{};
  std::ifstream in(file, std::ios::binary);
  if (!in.read(bytes.data(), bytes.size())) return std::nullopt;
  Header header;
  header.is_wal = bytes[kReadVersion] == kWalMode;
  for (std::size_t i = 0; i < 4; ++i) header.run = header.run << 8 | static_cast<std::uint8_t>(bytes[kUserVersion + i]);
  return header;
}

// The numbers of the run that left the log; empty if nothing is known of it. There are two while a run begins.
std::vector<std::uint32_t> ReadRuns(const std::string& file) {
  std::ifstream in(RunFileOf(file));
  std::vector<std::uint32_t> runs;
  for (std::uint32_t run = 0; in >> run;) runs.push_back(run);
  return runs;
}

absl::Status Failed(const std::string& file) {
  return absl::FailedPreconditionError(absl::StrCat("cannot write ", file, ": ", std::strerror(errno)));
}

bool WriteWhole(const std::string& file, std::string_view text) {
  const int descriptor = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) return false;
  const bool written =
      write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(descriptor) == 0;
  return close(descriptor) == 0 && written;
}

bool SyncFolderOf(const std::string& file) {
  const int folder = open(std::filesystem::path(file).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return false;
  const bool synced = fsync(folder) == 0;
  return close(folder) == 0 && synced;
}

// Durable, and never half of it.
absl::Status WriteRuns(const std::string& file, const std::vector<std::uint32_t>& runs) {
  std::string text;
  for (const std::uint32_t run : runs) absl::StrAppend(&text, run, "\n");
  const std::string target = RunFileOf(file);
  const std::string fresh = target + ".new";
  if (!WriteWhole(fresh, text)) return Failed(fresh);
  if (rename(fresh.c_str(), target.c_str()) != 0 || !SyncFolderOf(target)) return Failed(target);
  return absl::OkStatus();
}

// The first column of the first row; 0 if there is none.
absl::StatusOr<std::uint32_t> FirstNumber(SqliteDb& db, std::string_view sql) {
  absl::StatusOr<Statement> statement = db.Prepare(sql);
  if (!statement.ok()) return statement.status();
  const absl::StatusOr<bool> row = statement->Step();
  if (!row.ok()) return row.status();
  return static_cast<std::uint32_t>(*row ? statement->Int(0) : 0);
}

}  // namespace

absl::Status CheckLogBelongs(const std::string& path) {
  const std::string file = LockFile::Resolve(path);
  std::error_code none;
  const std::uintmax_t log_bytes = std::filesystem::file_size(LogOf(file), none);
  if (none || log_bytes <= kLogHeaderBytes) return absl::OkStatus();
  const auto foreign = [&](std::string_view why) {
    return absl::FailedPreconditionError(absl::StrCat("the write-ahead log ", LogOf(file),
                                                      " is not this ledger's: ", std::string(why), ". If ", path,
                                                      " was restored from a backup, move ", LogOf(file), " and ", file,
                                                      "-shm away; else put the former file back. Nothing was changed"));
  };
  const std::optional<Header> header = ReadHeader(file);
  if (!header.has_value()) return foreign("there is no ledger beside it");
  if (!header->is_wal) return foreign("the ledger is a backup that was never opened");
  const std::vector<std::uint32_t> runs = ReadRuns(file);
  if (runs.empty() || std::find(runs.begin(), runs.end(), header->run) != runs.end()) return absl::OkStatus();
  return foreign("another run of the broker wrote it than the one that the ledger is of");
}

absl::Status BeginRun(SqliteDb& db, const std::string& path) {
  const std::string file = LockFile::Resolve(path);
  std::array<std::uint8_t, 4> drawn{};
  SystemRandom().Fill(drawn);
  std::uint32_t run = 0;
  for (const std::uint8_t each : drawn) run = run << 8 | each;
  run = (run & 0x7fffffff) | 1;  // SQLite takes it for a signed number; 0 is a file that no run wrote.
  const absl::StatusOr<std::uint32_t> before = FirstNumber(db, "PRAGMA user_version");
  if (!before.ok()) return before.status();
  // Until the number is in the file itself, a log may lie beside either.
  absl::Status done = WriteRuns(file, {*before, run});
  if (!done.ok()) return done;
  done = db.Execute(absl::StrCat("PRAGMA user_version=", run).c_str());
  if (!done.ok()) return done;
  const absl::StatusOr<std::uint32_t> busy = FirstNumber(db, "PRAGMA wal_checkpoint(TRUNCATE)");
  if (!busy.ok()) return busy.status();
  // While another process reads the ledger, for a backup, the log cannot be emptied: then both numbers stay.
  return *busy == 0 ? WriteRuns(file, {run}) : absl::OkStatus();
}

}  // namespace tokenbroker
