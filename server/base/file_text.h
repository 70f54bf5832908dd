#pragma once
// A file's text and what tells whether the file was changed or exchanged.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace tokenbroker {

struct FileText {
  std::string text;
  std::uint64_t device = 0, inode = 0;  // Another pair: another file under the same name.
};

// Reads a regular file, following links, up to one byte more than 4 MiB: longer ones are refused by whoever parses the
// text. The error is INVALID_ARGUMENT, reason CONFIG_INVALID: "path: cannot be read: No such file or directory".
absl::StatusOr<FileText> ReadFileText(const std::string& path);

}  // namespace tokenbroker
