// Tokens that live and that today's policy would not grant: who runs the broker lists them, and then revokes exactly
// what was listed.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/broker/core.h"

namespace tokenbroker {
namespace {

constexpr int kDefaultPage = 50;
constexpr int kMostInAPage = 1000;
constexpr int kMostRows = 1000;
constexpr std::string_view kContext = "policy violations of ";  // What a page token is bound to.

absl::StatusOr<ListQuery> QueryOf(Core& core, const Caller& caller, int page_size, const std::string& page_token) {
  if (page_size < 0) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID", "page_size: is negative")
        .Field("page_size", "must be from 0 (which means 50) to 1000");
  }
  ListQuery query;
  query.caller = caller.name;
  query.limit = page_size == 0 ? kDefaultPage : std::min(page_size, kMostInAPage);
  query.max_rows = kMostRows;
  query.terms.emplace_back(StateTerm{});  // ACTIVE
  if (page_token.empty()) return query;
  query.after = core.pages.Open(page_token, std::string(kContext) + caller.name);
  if (query.after.has_value()) return query;
  return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID", "page_token: is none of this list's")
      .Field("page_token", "must be the next_page_token of the page before; begin again without one");
}

absl::Status Changed(const TokenId& id, std::string_view how) {
  return Error(absl::StatusCode::kFailedPrecondition, "TOKEN_CHANGED",
               ResourceName(id) + " " + std::string(how) + "; nothing was done. List them again")
      .Meta("token", ResourceName(id));
}

PolicyViolation ViolationOf(Token token, std::string detail) { return {std::move(token), std::move(detail)}; }

}  // namespace

Task<absl::StatusOr<ViolationPage>> ListPolicyViolations(Core* core, Caller caller, int page_size,
                                                         std::string page_token) {
  const absl::Status admitted = AdmitAdmin(*core, caller, "ListPolicyViolations", Verb::kReconcile);
  if (!admitted.ok()) co_return admitted;
  absl::StatusOr<ListQuery> query = QueryOf(*core, caller, page_size, page_token);
  if (!query.ok()) co_return query.status();
  // One snapshot judges the whole page.
  const std::shared_ptr<const Policy> policy = core->parts.policies.Current();
  const WallTime now = core->parts.ledger.Now();
  const std::shared_ptr<const TargetsToday> targets = core->reconciler.targets();
  query->visible = [policy, now, targets](const Token& token) {
    return !targets->Judge(*policy, token, now).status.ok();
  };
  absl::StatusOr<TokenList> list = co_await core->parts.ledger.List(*std::move(query));
  if (!list.ok()) co_return list.status();
  ViolationPage page;
  page.policy_version = policy->version();
  for (Token& token : list->tokens) {
    std::string detail = targets->Judge(*policy, token, now).detail;
    page.violations.push_back(ViolationOf(std::move(token), std::move(detail)));
  }
  if (list->next.has_value()) {
    page.next_page_token = core->pages.Seal(*list->next, std::string(kContext) + caller.name);
  }
  co_return page;
}

Task<absl::StatusOr<std::vector<Token>>> RevokePolicyViolations(Core* core, Caller caller, std::vector<TokenId> ids) {
  BrokerParts& parts = core->parts;
  const absl::Status admitted = AdmitAdmin(*core, caller, "RevokePolicyViolations", Verb::kReconcile);
  if (!admitted.ok()) co_return admitted;
  const std::shared_ptr<const Policy> policy = parts.policies.Current();
  const std::shared_ptr<const TargetsToday> targets = core->reconciler.targets();
  const WallTime now = parts.ledger.Now();
  std::vector<std::string> whys;
  for (const TokenId& id : ids) {
    const absl::StatusOr<TokenRecord> record = co_await parts.ledger.Get(id);
    if (absl::IsNotFound(record.status())) co_return Changed(id, "does not exist");
    if (!record.ok()) co_return record.status();
    if (record->token.state != TokenState::kActive) co_return Changed(id, "is not ACTIVE any more");
    const Decision decision = targets->Judge(*policy, record->token, now);
    if (decision.status.ok()) co_return Changed(id, "is what the policy grants now");
    whys.push_back("policy " + policy->version() + ": " + decision.detail);
  }
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const TokenId& id = ids[i];
    absl::StatusOr<TokenRecord> record = co_await parts.ledger.RevokeForPolicy(id, caller.name, std::move(whys[i]));
    if (!record.ok()) co_return record.status();
    parts.log.Info(
        "policy violation to be revoked",
        {{"token", id}, {"caller", caller.name}, {"owner", record->token.owner}, {"policy", policy->version()}});
    core->lifecycle.Wake();
    tokens.push_back(std::move(record->token));
  }
  co_return tokens;
}

}  // namespace tokenbroker
