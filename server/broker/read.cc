// Reading one token: from the ledger alone.

#include <memory>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/broker/core.h"

namespace tokenbroker {
namespace {

// The answer for a token that never was, and for one that is none of the caller's business: equal to the byte.
absl::Status NoSuchToken(const TokenId& id) {
  return Error(absl::StatusCode::kNotFound, "TOKEN_NOT_FOUND", ResourceName(id) + " does not exist")
      .Meta("token", ResourceName(id));
}

}  // namespace

Task<absl::StatusOr<TokenRecord>> FindVisible(Core* core, Caller caller, TokenId id, Verb verb) {
  absl::StatusOr<TokenRecord> record = co_await core->parts.ledger.Get(id);
  if (!record.ok()) {
    if (absl::IsNotFound(record.status())) co_return NoSuchToken(id);
    co_return record.status();
  }
  const Token& token = record->token;
  if (token.owner == caller.name) co_return record;
  const std::shared_ptr<const Policy> policy = core->parts.policies.Current();
  const Decision decision = JudgeAccess(*policy, caller, verb, token, core->parts.ledger.Now());
  NoteWouldHave(*core, caller, verb == Verb::kRead ? "GetToken" : "RevokeToken", decision, *policy);
  if (!decision.status.ok()) co_return NoSuchToken(id);
  co_return record;
}

Task<absl::StatusOr<Token>> GetToken(Core* core, Caller caller, TokenId id) {
  absl::StatusOr<TokenRecord> record = co_await FindVisible(core, std::move(caller), std::move(id), Verb::kRead);
  if (!record.ok()) co_return record.status();
  co_return std::move(record->token);
}

}  // namespace tokenbroker
