#pragma once
// One broker to a ledger: a lock on "<ledger>.lock" that ends with the process, and says who holds it. Symbolic links
// to the ledger are followed first, so that a second name of the file is no second lock. A hard link cannot be
// followed: a ledger that has one is rejected, as SQLite would keep a log of its own beside each name.

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tokenbroker {

class LockFile {
 public:
  // FAILED_PRECONDITION, naming process and host, if another process holds it; or naming the ledger, if it has more
  // than one name. The ledger need not exist.
  static absl::StatusOr<LockFile> Take(const std::string& ledger);
  // The file that links lead to; `ledger` itself if there is none. SQLite's own files lie beside that one.
  static std::string Resolve(const std::string& ledger);
  // The lock's file: "<ledger>.lock" beside the file that links lead to.
  static std::string PathOf(const std::string& ledger);
  // FAILED_PRECONDITION if the ledger has more than one name.
  static absl::Status CheckNames(const std::string& ledger);

  LockFile(LockFile&& other) noexcept;
  LockFile& operator=(LockFile&&) = delete;
  ~LockFile();

 private:
  explicit LockFile(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace tokenbroker
