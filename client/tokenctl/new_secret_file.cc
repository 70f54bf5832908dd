#include "client/tokenctl/new_secret_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "client/tokenctl/output.h"
#include "server/base/error.h"

namespace tokenbroker::tokenctl {

absl::StatusOr<NewSecretFile> NewSecretFile::Make(const std::string& path) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (descriptor >= 0) return NewSecretFile(path, descriptor);
  const std::string cause = errno == EEXIST ? "it exists, and a file is never overwritten" : std::strerror(errno);
  return Error(absl::StatusCode::kFailedPrecondition, "CLIENT_OPTION_INVALID",
               "--secret-file: cannot make '" + path + "': " + cause + "; nothing was sent to the broker");
}

NewSecretFile::NewSecretFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

NewSecretFile::NewSecretFile(NewSecretFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

NewSecretFile::~NewSecretFile() {
  if (descriptor_ < 0) return;
  unlink(path_.c_str());
  close(descriptor_);
}

absl::Status NewSecretFile::Write(std::string_view secret) {
  const absl::Status written = WriteAll(descriptor_, secret);
  if (!written.ok()) return written;
  // A full disk or quota may show only here.
  if (fsync(descriptor_) != 0) return absl::UnknownError(std::strerror(errno));
  if (close(std::exchange(descriptor_, -1)) == 0) return absl::OkStatus();
  const absl::Status failure = absl::UnknownError(std::strerror(errno));
  unlink(path_.c_str());
  return failure;
}

}  // namespace tokenbroker::tokenctl
