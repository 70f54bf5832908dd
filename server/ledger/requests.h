#pragma once
// What request_ids have asked for, so that a repeat makes no second live token. See Ledger::Begin.

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/ledger/ledger.h"
#include "server/ledger/strand.h"

namespace tokenbroker {

// How long a request is known, from its first attempt on.
inline constexpr Duration kRequestsKept = hours(24);

// The attempt before this one.
struct EarlierAttempt {
  TokenId token_id;
  WallTime first_attempt_time;  // Of the first one.
};

// Forgets the requests that are too old, and makes room for spec.token if its request is known: the token of the last
// attempt gives way, and has spec.token as its successor. std::nullopt if there is no such attempt. Errors as Begin's.
absl::StatusOr<std::optional<EarlierAttempt>> TakeOverRequest(Transaction& transaction, const IntentSpec& spec);

// The token of the request is from now on `token_id`.
absl::Status WriteRequest(Transaction& transaction, const std::string& caller, const RequestKey& key,
                          const TokenId& token_id, WallTime first_attempt_time);

}  // namespace tokenbroker
