#pragma once
// The steps of a token's life, each one operation inside a transaction of the writer. See Ledger for what they promise.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/random.h"
#include "server/ledger/ledger.h"
#include "server/ledger/quota.h"
#include "server/ledger/strand.h"

namespace tokenbroker {

// After a self-extending token's end: a request that GitLab had authenticated before it has ended by then.
inline constexpr Duration kSecondDescendantList = minutes(2);

absl::StatusOr<Token> BeginIntent(Transaction& transaction, const QuotaRules& rules, const IntentSpec& spec);
absl::StatusOr<Token> ActivateToken(Transaction& transaction, Random& random, const TokenId& id,
                                    const MadeUpstream& made, WallTime expire_time);
absl::StatusOr<Token> AbandonToken(Transaction& transaction, const TokenId& id, const std::string& why);
absl::StatusOr<Token> StartRevokingToken(Transaction& transaction, Random& random, const TokenId& id,
                                         RevokeReason reason, const std::optional<MadeUpstream>& made);
absl::StatusOr<TokenRecord> RequestTokenRevocation(Transaction& transaction, const TokenId& id,
                                                   const std::string& caller);
absl::StatusOr<TokenRecord> RevokeTokenForPolicy(Transaction& transaction, const TokenId& id, const std::string& caller,
                                                 const std::string& why);
absl::StatusOr<Token> RecordTokenDeath(Transaction& transaction, Duration settle, const TokenId& id, Proof proof);
absl::StatusOr<Token> RecordFailedAttempt(Transaction& transaction, const TokenId& id, WallTime next_attempt_time,
                                          bool parked, const std::string& why);
absl::StatusOr<Token> KeepStrayToken(Transaction& transaction, Random& random, const TokenId& id,
                                     const MadeUpstream& made);
absl::StatusOr<std::vector<TokenId>> RecordLookResult(Transaction& transaction, Random& random, Duration settle,
                                                      const TokenId& id, WallTime began,
                                                      const std::vector<MadeUpstream>& found);

}  // namespace tokenbroker
