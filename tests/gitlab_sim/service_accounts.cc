// Service accounts of the instance, of groups and of projects, and their tokens.
#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "tests/gitlab_sim/entity_json.h"
#include "tests/gitlab_sim/errors.h"
#include "tests/gitlab_sim/listing.h"
#include "tests/gitlab_sim/routes.h"
#include "tests/gitlab_sim/scopes.h"
#include "tests/gitlab_sim/targets.h"
#include "tests/gitlab_sim/token_json.h"
#include "tests/gitlab_sim/token_rules.h"

namespace tokenbroker::gitlab_sim {
namespace {

ResourceKind KindOf(const Call& call) {
  return call.request->target.rfind("/api/v4/projects/", 0) == 0 ? ResourceKind::kProject : ResourceKind::kGroup;
}

// The target, if the caller may administer its service accounts: project Maintainers, group Owners, administrators.
TargetResult ManagedTarget(Call& call) {
  const ResourceKind kind = KindOf(call);
  TargetResult out = FindTarget(call, kind);
  if (out.refusal) return out;
  const int needed = kind == ResourceKind::kProject ? 40 : 50;
  if (!call.admin && call.state->EffectiveLevel(out.resource, call.user->id) < needed) out.refusal = Forbidden();
  return out;
}

HttpResponse MakeAccount(Call& call, const std::optional<Resource>& resource, const std::string& username_stem) {
  ParamChecks checks(call.params);
  const auto name = checks.Text("name");
  const auto username = checks.Text("username");
  if (!checks.ok()) return GrapeError(400, checks.error());
  UserSeed seed;
  seed.username = username.value_or(username_stem + call.state->RandomHex(32));
  if (call.state->FindUserByName(seed.username) != nullptr) return BadRequest("Username has already been taken");
  seed.name = name.value_or("Service account user");
  seed.kind = UserKind::kServiceAccount;
  User& account = call.state->AddUser(seed);
  account.email = seed.username + "@noreply.example.test";
  account.created_by = call.user->id;
  account.provisioned_by = resource;
  return Json(201, ServiceAccountJson(account));
}

HttpResponse CreateForInstance(Call& call) { return MakeAccount(call, std::nullopt, "service_account_"); }

HttpResponse CreateForTarget(Call& call) {
  const TargetResult target = ManagedTarget(call);
  if (target.refusal) return *target.refusal;
  const bool project = target.resource.kind == ResourceKind::kProject;
  // An Owner of a group administers accounts; making them is the administrator's unless he shares it.
  if (!project && !call.admin) {
    return BadRequest("User does not have permission to create a service account in this namespace.");
  }
  return MakeAccount(
      call, target.resource,
      std::string("service_account_") + (project ? "project_" : "group_") + std::to_string(target.resource.id) + "_");
}

HttpResponse ListAccounts(Call& call, const std::optional<Resource>& resource) {
  ParamChecks checks(call.params);
  const std::string sort = checks.OneOf("sort", {"asc", "desc"}).value_or("desc");
  const std::string order_by = checks.OneOf("order_by", {"id", "username"}).value_or("id");
  if (!checks.ok()) return GrapeError(400, checks.error());
  std::vector<const User*> rows;
  for (const auto& [id, user] : call.state->users()) {
    if (user.kind == UserKind::kServiceAccount && (!resource || user.provisioned_by == resource)) {
      rows.push_back(&user);
    }
  }
  if (order_by == "username") {
    std::sort(rows.begin(), rows.end(), [](const User* a, const User* b) { return a->username < b->username; });
  }
  if (sort == "desc") std::reverse(rows.begin(), rows.end());
  return Page(call, rows.size(), {{"order_by", order_by}, {"sort", sort}},
              [&](size_t i) { return ServiceAccountJson(*rows[i]); });
}

HttpResponse ListForInstance(Call& call) { return ListAccounts(call, std::nullopt); }

HttpResponse ListForTarget(Call& call) {
  const TargetResult target = ManagedTarget(call);
  return target.refusal ? *target.refusal : ListAccounts(call, target.resource);
}

// The account that the path names, if the target provisioned it.
struct AccountResult {
  std::optional<HttpResponse> refusal;
  User* account = nullptr;
};

AccountResult FindAccount(Call& call) {
  AccountResult out;
  const TargetResult target = ManagedTarget(call);
  if (target.refusal) {
    out.refusal = target.refusal;
    return out;
  }
  const auto id = call.PathId("user_id");
  out.account = id ? call.state->FindUser(*id) : nullptr;
  const bool provisioned = out.account != nullptr && out.account->kind == UserKind::kServiceAccount &&
                           out.account->provisioned_by == target.resource;
  if (!provisioned) out.refusal = NotFound("User");
  return out;
}

HttpResponse DeleteAccount(Call& call) {
  const AccountResult found = FindAccount(call);
  if (found.refusal) return *found.refusal;
  call.state->DeleteUser(found.account->id);
  return NoContent();
}

HttpResponse ListTokens(Call& call) {
  ParamChecks checks(call.params);
  const TokenFilter filter = TokenFilter::Read(&checks);
  if (!checks.ok()) return GrapeError(400, checks.error());
  const AccountResult found = FindAccount(call);
  if (found.refusal) return *found.refusal;
  const std::vector<int64_t> ids = call.state->TokensOf(found.account->id);
  const std::vector<Token> rows = SelectTokens(*call.state, filter, &ids);
  return Page(call, rows.size(), {}, [&](size_t i) { return TokenJson(*call.state, rows[i], {}); });
}

HttpResponse CreateToken(Call& call) {
  ParamChecks checks(call.params);
  const TokenRequest request =
      ReadTokenRequest(*call.state, &checks, PersonalTokenScopes(call.state->version()), /*commas=*/true);
  const TargetResult target = ManagedTarget(call);
  if (target.refusal) return *target.refusal;
  if (!checks.ok()) return GrapeError(400, checks.error());
  const AccountResult found = FindAccount(call);
  if (found.refusal) return *found.refusal;
  const bool enforced = call.state->settings().service_account_expiry_enforced;
  const auto problems = TokenProblems(*call.state, request, enforced);
  if (!problems.empty()) return Unprocessable(Sentence(problems));
  const Token& token = MakeToken(call.state, found.account->id, request, enforced);
  return Json(201, TokenJson(*call.state, token, {.secret = true}));
}

Token* TokenOf(const Call& call, const User& account) {
  const auto id = call.PathId("token_id");
  Token* token = id ? call.state->FindToken(*id) : nullptr;
  return token != nullptr && token->user_id == account.id ? token : nullptr;
}

HttpResponse RotateToken(Call& call) {
  ParamChecks checks(call.params);
  const auto expires_at = checks.Date("expires_at");
  if (!checks.ok()) return GrapeError(400, checks.error());
  const AccountResult found = FindAccount(call);
  if (found.refusal) return *found.refusal;
  const Token* token = TokenOf(call, *found.account);
  if (token == nullptr) {
    return KindOf(call) == ResourceKind::kGroup ? NotFound() : NotFound("Personal Access Token");
  }
  if (token->revoked) return BadRequest("Token already revoked");
  const bool enforced = call.state->settings().service_account_expiry_enforced;
  const RotateResult result = gitlab_sim::RotateToken(call.state, token->id, expires_at, enforced);
  if (result.successor == nullptr) return BadRequest(Sentence(result.problems));
  return Json(200, TokenJson(*call.state, *result.successor, {.secret = true}));
}

HttpResponse RevokeToken(Call& call) {
  const AccountResult found = FindAccount(call);
  if (found.refusal) return *found.refusal;
  Token* token = TokenOf(call, *found.account);
  if (token == nullptr) return NotFound("Personal Access Token");
  call.state->Revoke(token);
  return NoContent();
}

}  // namespace

std::vector<Route> ServiceAccountRoutes() {
  std::vector<Route> out = {
      {"GET", "/service_accounts", ListForInstance, ScopeRule::kApi, /*admin_only=*/true},
      {"POST", "/service_accounts", CreateForInstance, ScopeRule::kApi, /*admin_only=*/true},
  };
  for (const std::string source : {"/projects/:id", "/groups/:id"}) {
    const std::string base = source + "/service_accounts";
    const std::string tokens = base + "/:user_id/personal_access_tokens";
    out.push_back({"GET", base, ListForTarget});
    out.push_back({"POST", base, CreateForTarget});
    out.push_back({"DELETE", base + "/:user_id", DeleteAccount});
    out.push_back({"GET", tokens, ListTokens});
    out.push_back({"POST", tokens, CreateToken});
    out.push_back({"POST", tokens + "/:token_id/rotate", RotateToken});
    out.push_back({"DELETE", tokens + "/:token_id", RevokeToken});
  }
  return out;
}

}  // namespace tokenbroker::gitlab_sim
