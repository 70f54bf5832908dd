#pragma once
// The table of unknown tokens: what the reconciler found at GitLab and no row explains. See Ledger.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/ledger/ledger.h"
#include "server/ledger/strand.h"

namespace tokenbroker {

absl::StatusOr<std::vector<std::int64_t>> RecordUnknownTokens(Transaction& transaction, const std::string& instance,
                                                              const std::string& list, WallTime pass,
                                                              const std::vector<UnknownToken>& found);
absl::StatusOr<std::int64_t> EndPassOver(Transaction& transaction, const std::string& instance, WallTime pass,
                                         const std::vector<std::string>& lists);
absl::StatusOr<UnknownList> ListUnknownTokens(Transaction& transaction, const std::string& instance, std::int64_t after,
                                              int limit);
absl::StatusOr<std::vector<UnknownToken>> FindUnknownTokens(Transaction& transaction, const std::string& instance,
                                                            const std::vector<std::int64_t>& ids);
absl::Status ForgetUnknownToken(SqliteDb& db, const std::string& instance, std::int64_t upstream_id);
// Of every instance, with their passes: they are another ledger's.
absl::Status ForgetUnknownTokens(SqliteDb& db);

}  // namespace tokenbroker
