// /personal_access_tokens, /users/:user_id/personal_access_tokens, /user/personal_access_tokens.
#include <cstddef>
#include <string>
#include <vector>

#include "tests/gitlab_sim/errors.h"
#include "tests/gitlab_sim/listing.h"
#include "tests/gitlab_sim/routes.h"
#include "tests/gitlab_sim/scopes.h"
#include "tests/gitlab_sim/token_json.h"
#include "tests/gitlab_sim/token_rules.h"

namespace tokenbroker::gitlab_sim {
namespace {

HttpResponse List(Call& call) {
  ParamChecks checks(call.params);
  const auto user_id = checks.Integer("user_id");
  const TokenFilter filter = TokenFilter::Read(&checks);
  if (!checks.ok()) return GrapeError(400, checks.error());
  std::vector<int64_t> own;
  const std::vector<int64_t>* ids = nullptr;
  if (call.admin) {
    if (call.params.Find("user_id") != nullptr) {
      if (!user_id || call.state->FindUser(*user_id) == nullptr) return NotFound();
      own = call.state->TokensOf(*user_id);
      ids = &own;
    }
  } else {
    if (user_id && *user_id != call.user->id) return Unauthorized();
    for (const int64_t id : call.state->TokensOf(call.user->id)) {
      if (!call.state->FindToken(id)->impersonation) own.push_back(id);
    }
    ids = &own;
  }
  const std::vector<Token> rows = SelectTokens(*call.state, filter, ids);
  return Page(call, rows.size(), {}, [&](size_t i) { return TokenJson(*call.state, rows[i], {}); });
}

HttpResponse ShowSelf(Call& call) { return Json(200, TokenJson(*call.state, *call.token, {.last_used_ips = true})); }

HttpResponse Show(Call& call) {
  const auto id = call.PathId("id");
  if (!id) return GrapeError(400, "id is invalid");
  const Token* token = call.state->FindReplicatedToken(*id);
  const bool own = token != nullptr && token->user_id == call.user->id && !token->impersonation;
  if (!call.admin && !own) return Unauthorized();
  if (token == nullptr) return NotFound();
  return Json(200, TokenJson(*call.state, *token, {.last_used_ips = true}));
}

// An administrator makes a token for anyone.
HttpResponse CreateForUser(Call& call) {
  ParamChecks checks(call.params);
  const auto user_id = checks.Integer("user_id");
  const TokenRequest request =
      ReadTokenRequest(*call.state, &checks, PersonalTokenScopes(call.state->version()), /*commas=*/true);
  if (!checks.ok()) return GrapeError(400, checks.error());
  const User* owner = user_id ? call.state->FindUser(*user_id) : nullptr;
  if (owner == nullptr) return NotFound("User");
  const Settings& settings = call.state->settings();
  const bool enforced =
      owner->kind == UserKind::kServiceAccount ? settings.service_account_expiry_enforced : settings.require_expiry;
  const auto problems = TokenProblems(*call.state, request, enforced);
  if (!problems.empty()) return Unprocessable(Sentence(problems));
  const Token& token = MakeToken(call.state, owner->id, request, enforced);
  return Json(201, TokenJson(*call.state, token, {.secret = true}));
}

// A user's own, for the two scopes that cannot widen what he holds.
HttpResponse CreateForSelf(Call& call) {
  ParamChecks checks(call.params);
  std::vector<std::string> allowed = {"k8s_proxy"};
  if (call.state->version().AtLeast(17, 9)) allowed.emplace_back("self_rotate");
  const TokenRequest request = ReadTokenRequest(*call.state, &checks, allowed, /*commas=*/true);
  if (!checks.ok()) return GrapeError(400, checks.error());
  const bool enforced = call.state->settings().require_expiry;
  const auto problems = TokenProblems(*call.state, request, enforced);
  if (!problems.empty()) return Unprocessable(Sentence(problems));
  const Token& token = MakeToken(call.state, call.user->id, request, enforced);
  return Json(201, TokenJson(*call.state, token, {.secret = true}));
}

HttpResponse Rotated(Call& call, Token* token, std::optional<std::chrono::sys_days> expires_at) {
  if (token->revoked) return BadRequest("Token already revoked");
  const Settings& settings = call.state->settings();
  const bool service_account = call.state->FindUser(token->user_id)->kind == UserKind::kServiceAccount;
  const bool enforced = service_account ? settings.service_account_expiry_enforced : settings.require_expiry;
  const RotateResult result = RotateToken(call.state, token->id, expires_at, enforced);
  if (result.successor == nullptr) return BadRequest(Sentence(result.problems));
  return Json(200, TokenJson(*call.state, *result.successor, {.secret = true}));
}

HttpResponse Rotate(Call& call) {
  ParamChecks checks(call.params);
  const auto id = checks.Integer("id");
  const auto expires_at = checks.Date("expires_at");
  if (!checks.ok()) return GrapeError(400, checks.error());
  Token* token = id ? call.state->FindToken(*id) : nullptr;
  const bool own = token != nullptr && token->user_id == call.user->id && !token->impersonation;
  if (!call.admin && !own) return Unauthorized();
  if (token == nullptr) return NotFound();
  return Rotated(call, token, expires_at);
}

HttpResponse RotateSelf(Call& call) {
  ParamChecks checks(call.params);
  const auto expires_at = checks.Date("expires_at");
  if (!checks.ok()) return GrapeError(400, checks.error());
  return Rotated(call, call.token, expires_at);
}

HttpResponse Revoke(Call& call) {
  const auto id = call.PathId("id");
  Token* token = id ? call.state->FindReplicatedToken(*id) : nullptr;
  if (token == nullptr) return RecordNotFound();
  const bool own = token->user_id == call.user->id && !token->impersonation;
  if (!call.admin && !own) {
    return call.state->version().AtLeast(19, 0) ? BadRequest("Not permitted to revoke") : BadRequest();
  }
  call.state->Revoke(token);
  return NoContent();
}

HttpResponse RevokeSelf(Call& call) {
  call.state->Revoke(call.token);
  return NoContent();
}

}  // namespace

std::vector<Route> PersonalAccessTokenRoutes() {
  return {
      {"GET", "/personal_access_tokens", List},
      {"GET", "/personal_access_tokens/self", ShowSelf, ScopeRule::kAny},
      {"DELETE", "/personal_access_tokens/self", RevokeSelf, ScopeRule::kAny},
      {"POST", "/personal_access_tokens/self/rotate", RotateSelf, ScopeRule::kSelfRotate},
      {"GET", "/personal_access_tokens/:id", Show},
      {"DELETE", "/personal_access_tokens/:id", Revoke},
      {"POST", "/personal_access_tokens/:id/rotate", Rotate},
      {"POST", "/users/:user_id/personal_access_tokens", CreateForUser, ScopeRule::kApi, /*admin_only=*/true},
      {"POST", "/user/personal_access_tokens", CreateForSelf},
  };
}

}  // namespace tokenbroker::gitlab_sim
