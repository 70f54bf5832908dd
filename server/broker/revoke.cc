// Ending a token before its time. The decision is durable before anything is answered; the proof may come later.

#include <algorithm>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/broker/core.h"

namespace tokenbroker {
namespace {

// How long a caller waits for proof before it is told REVOKING, and what is kept back of its deadline to tell it.
constexpr Duration kWaitForProof = seconds(5);
constexpr Duration kTimeToAnswer = milliseconds(200);

Task<void> AttemptThenSet(Core* core, TokenRecord record, Event proved) {
  co_await core->undertaker.Attempt(std::move(record));
  proved.Set();
}

// The ledger can be read but not written: power is taken away all the same, but nobody is told that it will last.
Task<absl::Status> RevokeUnrecorded(Core* core, Token token) {
  bool deleted = false;
  if (token.upstream_id != 0) deleted = co_await core->undertaker.DeleteOnly(token);
  if (deleted) {
    co_return Error(absl::StatusCode::kUnavailable, "REVOKED_UPSTREAM_NOT_RECORDED",
                    "GitLab has revoked the token, but the ledger cannot be written; repeat the call")
        .RetryAfter(seconds(5));
  }
  co_return Error(absl::StatusCode::kUnavailable, "NOT_REVOKED",
                  "the ledger cannot be written and GitLab did not confirm; the token may be alive: repeat the call")
      .RetryAfter(seconds(5));
}

}  // namespace

Task<absl::StatusOr<Token>> RevokeToken(Core* core, CallContext call, Caller caller, TokenId id) {
  BrokerParts& parts = core->parts;
  absl::StatusOr<TokenRecord> visible = co_await FindVisible(core, caller, id, Verb::kRevoke);
  if (!visible.ok()) co_return visible.status();
  absl::StatusOr<TokenRecord> record = co_await parts.ledger.RequestRevocation(id, caller.name);
  if (!record.ok()) {
    if (IsClosed(visible->token.state)) co_return visible->token;
    co_return co_await RevokeUnrecorded(core, std::move(visible->token));
  }
  parts.log.Info("revocation asked for",
                 {{"token", id}, {"caller", caller.name}, {"state", NameOf(record->token.state)}});
  if (record->token.state != TokenState::kRevoking || record->pending) {
    core->lifecycle.Wake();
    co_return record->token;
  }
  const Event proved(parts.executor);
  core->scope.Spawn(AttemptThenSet(core, *record, proved));
  const BootTime patience = std::min(parts.clock.Boot() + kWaitForProof,
                                     call.deadline() == kNever ? kNever : call.deadline() - kTimeToAnswer);
  co_await proved.Wait(parts.clock, patience);
  const absl::StatusOr<TokenRecord> now = co_await parts.ledger.Get(id);
  // The revocation is durable whether it can be read back or not.
  co_return now.ok() ? now->token : record->token;
}

}  // namespace tokenbroker
