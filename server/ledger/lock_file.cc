#include "server/ledger/lock_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tokenbroker {
namespace {

std::string Holder(int descriptor) {
  std::array<char, 256> text{};
  const ssize_t size = pread(descriptor, text.data(), text.size(), 0);
  std::string holder(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  std::replace(holder.begin(), holder.end(), '\n', ' ');
  return holder.empty() ? "another process" : holder;
}

std::string Self() {
  std::array<char, 65> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return absl::StrCat("process ", getpid(), " on host ", host.data());
}

}  // namespace

std::string LockFile::Resolve(const std::string& ledger) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::weakly_canonical(ledger, error);
  return error ? ledger : real.string();
}

std::string LockFile::PathOf(const std::string& ledger) { return Resolve(ledger) + ".lock"; }

absl::Status LockFile::CheckNames(const std::string& ledger) {
  struct stat info {};
  if (stat(ledger.c_str(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_nlink <= 1) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the ledger ", ledger, " has ", info.st_nlink,
                   " names (hard links): another broker may use it under another one. Remove the others"));
}

absl::StatusOr<LockFile> LockFile::Take(const std::string& ledger) {
  const absl::Status names = CheckNames(ledger);
  if (!names.ok()) return names;
  const std::string path = PathOf(ledger);
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return absl::FailedPreconditionError(absl::StrCat("cannot open ", path, ": ", std::strerror(errno)));
  }
  LockFile lock(descriptor);
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the ledger is in use by ", Holder(descriptor), " (it holds ", path, ")"));
  }
  const std::string self = Self();
  if (ftruncate(descriptor, 0) != 0 || pwrite(descriptor, self.data(), self.size(), 0) < 0) {
    return absl::FailedPreconditionError(absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
  }
  return lock;
}

LockFile::LockFile(LockFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

LockFile::~LockFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

}  // namespace tokenbroker
