#pragma once
// What would keep a broker from using a ledger, found without using it: for --check-config.

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace tokenbroker {

// Every error that a start of broker `broker` on the ledger `path` would meet, now: no folder, no right to write, a
// file that is no ledger, a newer schema, another broker's name, a second name (hard link). A broker that uses the
// ledger at this moment is no error. Changes nothing on the disk.
std::vector<absl::Status> FindLedgerErrors(const std::string& path, const std::string& broker);

}  // namespace tokenbroker
