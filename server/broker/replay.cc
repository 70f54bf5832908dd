#include "server/broker/replay.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/broker/made_of.h"
#include "server/broker/permits.h"

namespace tokenbroker {
namespace {

constexpr Duration kReplaceWithin = minutes(10);

// Its secret reached nobody.
bool EndedBeforeDelivery(RevokeReason reason) {
  return reason == RevokeReason::kCallerGone || reason == RevokeReason::kLateReply ||
         reason == RevokeReason::kMismatch || reason == RevokeReason::kOrphan;
}

absl::Status Exists(const Token& token) {
  return Error(absl::StatusCode::kAlreadyExists, "TOKEN_EXISTS",
               "this request_id has made " + ResourceName(token.id) + ", which is " + std::string(NameOf(token.state)) +
                   "; its secret was shown once and cannot be shown again")
      .Meta("token", ResourceName(token.id))
      .Meta("state", NameOf(token.state));
}

}  // namespace

Task<absl::StatusOr<TokenId>> JudgeRepeat(Core* core, CallContext call, RequestRecord record) {
  BrokerParts& parts = core->parts;
  const Token& token = record.current.token;
  const WallTime now = parts.ledger.Now();
  if (record.current.pending) {
    if (record.current.revoke_requested) co_return Exists(token);
    if (now >= record.current.give_up_time) co_return token.id;
    co_return Error(absl::StatusCode::kAborted, "CREATE_IN_PROGRESS",
                    "an attempt with this request_id is under way, or its outcome is not known yet")
        .RetryAfter(record.current.give_up_time - now)
        .Meta("token", ResourceName(token.id));
  }
  if (token.state == TokenState::kAbandoned || EndedBeforeDelivery(token.revoke_reason)) co_return token.id;
  if (token.state != TokenState::kActive || now - record.first_attempt_time > kReplaceWithin) co_return Exists(token);

  const absl::StatusOr<Slots::Slot> permit = co_await parts.slots.Acquire(call, PermitFor(Lane::kResolve, token));
  if (!permit.ok()) co_return permit.status();
  const absl::StatusOr<std::optional<UpstreamToken>> seen = co_await parts.gitlab.GetToken(call, RefOf(token));
  // What cannot be read counts as used.
  if (!seen.ok() || !seen->has_value() || (*seen)->last_used_at.has_value()) co_return Exists(token);
  co_return token.id;
}

}  // namespace tokenbroker
