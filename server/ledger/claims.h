#pragma once
// Work that is due: which rows, in which order. See Ledger::ClaimDue.

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "server/ledger/ledger.h"
#include "server/ledger/strand.h"

namespace tokenbroker {

// The value of the column due_class for sweeps; deletions have those below.
inline constexpr int kSweepClass = 3;

absl::StatusOr<std::vector<TokenRecord>> ClaimDueRows(Transaction& transaction, int limit);
absl::StatusOr<std::optional<WallTime>> NextDueTime(Transaction& transaction);
absl::StatusOr<DueList> ListDueRows(Transaction& transaction, const std::optional<DuePosition>& after, int limit);

}  // namespace tokenbroker
