#pragma once
// What a repeat of a request_id may do about the token that the first attempt made.

#include "absl/status/statusor.h"
#include "server/base/call_context.h"
#include "server/base/task.h"
#include "server/broker/core.h"

namespace tokenbroker {

// The id of the record's current token if a new one may take its place: it was never made or never delivered, or it is
// ACTIVE, its first attempt not longer than 10 min ago, and GitLab never saw it used (its answer was lost). Else
// ABORTED, reason CREATE_IN_PROGRESS with RetryInfo, or ALREADY_EXISTS, reason TOKEN_EXISTS with the token's name and
// state: a repeat never ends a credential in use.
Task<absl::StatusOr<TokenId>> JudgeRepeat(Core* core, CallContext call, RequestRecord record);

}  // namespace tokenbroker
