// Reading one token: from the ledger alone.

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

Decision JudgeAccess(const Policy& policy, const Caller& caller, Verb verb, const Token& token) {
  const AccessRequest request = {verb,
                                 {token.target.instance, token.target.kind, std::to_string(token.target.id)},
                                 token.scopes,
                                 token.access_level,
                                 Duration(0)};
  TargetFacts facts;
  facts.target = token.target;
  return policy.Decide(caller, request, facts);
}

absl::Status Refuse(Core& core, const Caller& caller, std::string_view method, const AccessRequest& request,
                    const Decision& decision, const Policy& policy) {
  const std::string reason = ReasonOf(decision.status);
  core.parts.metrics.Decided(false, reason);
  std::string what = ToText(request.target);
  for (const std::string& scope : request.scopes) what += ' ' + scope;
  core.parts.log.Info("refused", {{"caller", caller.name},
                                  {"method", method},
                                  {"reason", reason},
                                  {"request", what},
                                  {"why", decision.detail},
                                  {"policy", policy.version()}});
  core.parts.ledger.NoteRefusal(
      {caller.name, std::string(method), reason, what + ": " + decision.detail, policy.version()});
  return decision.status;
}

Task<absl::StatusOr<TokenRecord>> FindVisible(Core* core, Caller caller, TokenId id, Verb verb) {
  absl::StatusOr<TokenRecord> record = co_await core->parts.ledger.Get(id);
  if (!record.ok()) {
    if (absl::IsNotFound(record.status())) co_return NoSuchToken(id);
    co_return record.status();
  }
  const Token& token = record->token;
  if (token.owner == caller.name) co_return record;
  const Decision decision = JudgeAccess(*core->parts.policies.Current(), caller, verb, token);
  if (!decision.status.ok()) co_return NoSuchToken(id);
  co_return record;
}

Task<absl::StatusOr<Token>> GetToken(Core* core, Caller caller, TokenId id) {
  absl::StatusOr<TokenRecord> record = co_await FindVisible(core, std::move(caller), std::move(id), Verb::kRead);
  if (!record.ok()) co_return record.status();
  co_return std::move(record->token);
}

}  // namespace tokenbroker
