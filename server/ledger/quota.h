#pragma once
// What a caller has under a role, counted where its next token is written.

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/domain/quota.h"
#include "server/domain/token.h"
#include "server/ledger/strand.h"

namespace tokenbroker {

// Whether there is room for one more; see Ledger::CheckQuota. The token that gives way to it takes no place.
absl::Status CheckRoom(Transaction& transaction, Duration settle, const std::string& owner, const std::string& role,
                       const QuotaLimits& limits, const std::optional<TokenId>& gives_way);

}  // namespace tokenbroker
