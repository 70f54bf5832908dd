#pragma once
// One broker to a ledger: a lock on "<ledger>.lock" that ends with the process, and says who holds it.

#include <string>

#include "absl/status/statusor.h"

namespace tokenbroker {

class LockFile {
 public:
  // FAILED_PRECONDITION, naming process and host, if another process holds it.
  static absl::StatusOr<LockFile> Take(const std::string& path);
  LockFile(LockFile&& other) noexcept;
  LockFile& operator=(LockFile&&) = delete;
  ~LockFile();

 private:
  explicit LockFile(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace tokenbroker
