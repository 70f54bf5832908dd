// /users/:user_id/impersonation_tokens: an administrator's, to act as somebody else.
#include <cstddef>
#include <string>
#include <vector>

#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/errors.h"
#include "tests/gitlab_sim/json_text.h"
#include "tests/gitlab_sim/listing.h"
#include "tests/gitlab_sim/routes.h"
#include "tests/gitlab_sim/scopes.h"
#include "tests/gitlab_sim/token_json.h"
#include "tests/gitlab_sim/token_rules.h"

namespace tokenbroker::gitlab_sim {
namespace {

User* OwnerOf(const Call& call) {
  const auto id = call.PathId("user_id");
  return id ? call.state->FindUser(*id) : nullptr;
}

Token* FindIn(const Call& call, const User& owner) {
  const auto id = call.PathId("impersonation_token_id");
  Token* token = id ? call.state->FindToken(*id) : nullptr;
  return token != nullptr && token->impersonation && token->user_id == owner.id ? token : nullptr;
}

HttpResponse List(Call& call) {
  ParamChecks checks(call.params);
  const std::string state = checks.OneOf("state", {"all", "active", "inactive"}).value_or("all");
  if (!checks.ok()) return GrapeError(400, checks.error());
  const User* owner = OwnerOf(call);
  if (owner == nullptr) return NotFound("User");
  std::vector<const Token*> rows;
  for (const int64_t id : call.state->TokensOf(owner->id)) {
    const Token* token = call.state->FindToken(id);
    const bool active = token->ActiveAt(call.state->Now());
    if (token->impersonation && (state == "all" || active == (state == "active"))) rows.push_back(token);
  }
  return Page(call, rows.size(), {{"state", state}},
              [&](size_t i) { return TokenJson(*call.state, *rows[i], {.impersonation = true}); });
}

HttpResponse Show(Call& call) {
  const User* owner = OwnerOf(call);
  if (owner == nullptr) return NotFound("User");
  const Token* token = FindIn(call, *owner);
  if (token == nullptr) return NotFound("Impersonation Token");
  return Json(200, TokenJson(*call.state, *token, {.impersonation = true}));
}

HttpResponse Create(Call& call) {
  ParamChecks checks(call.params);
  TokenRequest request;
  request.name = checks.RequiredText("name");
  if (call.params.Find("scopes") != nullptr) {
    request.scopes = checks.RequiredList("scopes", PersonalTokenScopes(call.state->version()), /*commas=*/true);
  }
  request.expires_at = checks.Date("expires_at");
  request.description = checks.Text("description");
  if (!checks.ok()) return GrapeError(400, checks.error());
  const User* owner = OwnerOf(call);
  if (owner == nullptr) return NotFound("User");
  const bool enforced = call.state->settings().require_expiry;
  const std::string latest =
      DateText(DayOf(call.state->Now()) + std::chrono::days(call.state->settings().max_lifetime_days));
  // The one place where GitLab answers with an object of messages by field.
  if (enforced && request.expires_at && DateText(*request.expires_at) > latest) {
    const std::string fields = JsonObject().Raw("expires_at", JsonTextArray({"must be before " + latest})).Finish();
    return Json(400, JsonObject().Raw("message", fields).Finish());
  }
  Token& token = MakeToken(call.state, owner->id, request, enforced);
  token.impersonation = true;
  return Json(201, TokenJson(*call.state, token, {.secret = true, .impersonation = true}));
}

HttpResponse Revoke(Call& call) {
  const User* owner = OwnerOf(call);
  if (owner == nullptr) return NotFound("User");
  Token* token = FindIn(call, *owner);
  if (token == nullptr) return NotFound("Impersonation Token");
  call.state->Revoke(token);
  return NoContent();
}

}  // namespace

std::vector<Route> ImpersonationTokenRoutes() {
  const std::string base = "/users/:user_id/impersonation_tokens";
  const std::string one = base + "/:impersonation_token_id";
  return {
      {"GET", base, List, ScopeRule::kApi, /*admin_only=*/true},
      {"POST", base, Create, ScopeRule::kApi, /*admin_only=*/true},
      {"GET", one, Show, ScopeRule::kApi, /*admin_only=*/true},
      {"DELETE", one, Revoke, ScopeRule::kApi, /*admin_only=*/true},
  };
}

}  // namespace tokenbroker::gitlab_sim
