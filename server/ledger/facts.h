#pragma once
// What was seen at GitLab, written into rows; and tokens of no row, taken in. See Ledger.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/random.h"
#include "server/ledger/ledger.h"
#include "server/ledger/strand.h"

namespace tokenbroker {

absl::StatusOr<std::vector<Stranger>> RecordSeenTokens(Transaction& transaction, const std::string& instance,
                                                       const std::vector<SeenToken>& seen, WallTime listed);
absl::StatusOr<std::vector<std::int64_t>> ActiveRowsAmong(Transaction& transaction, const std::string& instance,
                                                          const std::vector<MadeUpstream>& tokens);
absl::StatusOr<std::vector<TokenRecord>> ListUnseenRows(Transaction& transaction, WallTime since, int skip, int limit);
absl::StatusOr<std::vector<ResolvedTarget>> ListActiveTargets(Transaction& transaction,
                                                              const std::optional<ResolvedTarget>& after, int limit);
absl::StatusOr<std::vector<Token>> TakeInTokens(Transaction& transaction, Random& random,
                                                const std::vector<TakeInSpec>& specs);

}  // namespace tokenbroker
