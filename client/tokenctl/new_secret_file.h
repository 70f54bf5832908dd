#pragma once
// A file that is made for one secret.

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tokenbroker::tokenctl {

// Move-only. The file is removed when this goes, unless Write succeeded: a failed create leaves no empty file behind.
class NewSecretFile {
 public:
  // Makes an empty file of mode 0600. Fails if anything has that name already, a symbolic link included, or if the file
  // cannot be made: reason CLIENT_OPTION_INVALID, with the path and the cause.
  static absl::StatusOr<NewSecretFile> Make(const std::string& path);

  NewSecretFile(NewSecretFile&& other) noexcept;
  NewSecretFile& operator=(NewSecretFile&&) = delete;
  ~NewSecretFile();

  // Writes the secret and nothing else, to the disk. Once.
  absl::Status Write(std::string_view secret);

 private:
  NewSecretFile(std::string path, int descriptor);

  std::string path_;
  int descriptor_;  // -1: written, or moved away.
};

}  // namespace tokenbroker::tokenctl
