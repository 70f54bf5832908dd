#pragma once
// What is read without changing anything. See Ledger.

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "server/ledger/ledger.h"
#include "server/ledger/strand.h"

namespace tokenbroker {

absl::StatusOr<std::optional<RequestRecord>> FindRequestRecord(Transaction& transaction, const std::string& caller,
                                                               const RequestKey& key);
absl::StatusOr<Ledger::Counts> CountRows(Transaction& transaction);

}  // namespace tokenbroker
