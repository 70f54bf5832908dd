#include "server/base/file_text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kMostBytes = (std::size_t{4} << 20) + 1;

absl::Status Unreadable(const std::string& path, std::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID", path + ": cannot be read: " + std::string(why));
}

std::string TextOf(int error) { return std::generic_category().message(error); }

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace

absl::StatusOr<FileText> ReadFileText(const std::string& path) {
  // Without O_NONBLOCK a pipe under this name would hold the process up.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return Unreadable(path, TextOf(errno));
  struct stat facts {};
  if (fstat(file.get(), &facts) != 0) return Unreadable(path, TextOf(errno));
  if (!S_ISREG(facts.st_mode)) return Unreadable(path, "it is not a file");

  FileText out;
  out.device = facts.st_dev;
  out.inode = facts.st_ino;
  std::array<char, 65536> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): read() fills it
  while (out.text.size() < kMostBytes) {
    const ssize_t count = read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Unreadable(path, TextOf(errno));
    if (count == 0) break;
    out.text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return out;
}

}  // namespace tokenbroker
