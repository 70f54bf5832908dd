#pragma once
// Work that is due: which rows, in which order. See Ledger::ClaimDue.

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "server/ledger/ledger.h"
#include "server/ledger/strand.h"

namespace tokenbroker {

absl::StatusOr<std::vector<TokenRecord>> ClaimDueRows(Transaction& transaction, int limit);
absl::StatusOr<std::optional<WallTime>> NextDueTime(Transaction& transaction);

}  // namespace tokenbroker
