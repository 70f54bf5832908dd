// /projects/:id/access_tokens and /groups/:id/access_tokens.
#include <cstddef>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/gitlab_sim/errors.h"
#include "tests/gitlab_sim/listing.h"
#include "tests/gitlab_sim/routes.h"
#include "tests/gitlab_sim/scopes.h"
#include "tests/gitlab_sim/targets.h"
#include "tests/gitlab_sim/token_json.h"
#include "tests/gitlab_sim/token_rules.h"

namespace tokenbroker::gitlab_sim {
namespace {

constexpr int kMaintainer = 40;
constexpr int kOwner = 50;

ResourceKind KindOf(const Call& call) {
  return call.request->target.rfind("/api/v4/projects/", 0) == 0 ? ResourceKind::kProject : ResourceKind::kGroup;
}

std::string NameOf(Resource resource) { return resource.kind == ResourceKind::kProject ? "project" : "group"; }

// Project Maintainers and group Owners.
bool MayRead(const Call& call, Resource resource) {
  const int needed = resource.kind == ResourceKind::kProject ? kMaintainer : kOwner;
  return call.admin || call.state->EffectiveLevel(resource, call.user->id) >= needed;
}

// The same, without the bots of projects and groups.
bool MayManage(const Call& call, Resource resource) {
  return call.user->kind != UserKind::kProjectBot && MayRead(call, resource);
}

bool Archived(Call& call, Resource resource) {
  // A project that is archived still gets tokens, a group that is does not (since 18.x).
  return resource.kind == ResourceKind::kGroup && call.state->version().AtLeast(18, 0) &&
         call.state->FindGroup(std::to_string(resource.id))->archived;
}

std::vector<int64_t> TokenIdsOf(const Call& call, Resource resource) {
  std::vector<int64_t> ids;
  for (const int64_t user_id : call.state->DirectMembers(resource)) {
    const User* user = call.state->FindUser(user_id);
    if (user == nullptr || user->kind != UserKind::kProjectBot) continue;
    for (const int64_t id : call.state->TokensOf(user_id)) ids.push_back(id);
  }
  return ids;
}

// The token of a bot that is a member of this very resource. GitLab reads the leading digits of the id.
Token* FindTokenOf(const Call& call, Resource resource) {
  Token* token = call.state->FindReplicatedToken(std::strtoll(call.PathParam("token_id").c_str(), nullptr, 10));
  if (token == nullptr || call.state->DirectLevel(resource, token->user_id) == 0) return nullptr;
  return call.state->FindUser(token->user_id)->kind == UserKind::kProjectBot ? token : nullptr;
}

HttpResponse TokenAbsent(Resource resource) { return NotFound(NameOf(resource) + " Access Token"); }

std::string ToJson(const Call& call, Resource resource, const Token& token, bool secret) {
  return TokenJson(
      *call.state, token,
      {.secret = secret, .resource = resource, .access_level = call.state->DirectLevel(resource, token.user_id)});
}

HttpResponse List(Call& call) {
  ParamChecks checks(call.params);
  const TokenFilter filter = TokenFilter::Read(&checks);
  if (!checks.ok()) return GrapeError(400, checks.error());
  const TargetResult target = FindTarget(call, KindOf(call));
  if (target.refusal) return *target.refusal;
  if (!MayRead(call, target.resource)) return Unauthorized();
  const std::vector<int64_t> ids = TokenIdsOf(call, target.resource);
  const std::vector<Token> rows = SelectTokens(*call.state, filter, &ids);
  return Page(call, rows.size(), {}, [&](size_t i) { return ToJson(call, target.resource, rows[i], false); });
}

HttpResponse Show(Call& call) {
  const TargetResult target = FindTarget(call, KindOf(call));
  if (target.refusal) return *target.refusal;
  if (!MayRead(call, target.resource)) return Unauthorized();
  const Token* token = FindTokenOf(call, target.resource);
  if (token == nullptr) return TokenAbsent(target.resource);
  return Json(200, ToJson(call, target.resource, *token, false));
}

// The name of the token is the bot's name too, and User splits it into a first and a last name.
std::vector<std::string> BotNameProblems(const std::string& name) {
  std::vector<std::string> out;
  if (name.size() > 255) out.emplace_back("Name is too long (maximum is 255 characters)");
  const size_t start = name.find_first_not_of(' ');
  const size_t blank = start == std::string::npos ? std::string::npos : name.find(' ', start);
  const size_t first = blank == std::string::npos ? name.size() : blank - start;
  const size_t rest = blank == std::string::npos ? std::string::npos : name.find_first_not_of(' ', blank);
  if (first > 127) out.emplace_back("First name is too long (maximum is 127 characters)");
  if (rest != std::string::npos && name.size() - rest > 127) {
    out.emplace_back("Last name is too long (maximum is 127 characters)");
  }
  return out;
}

User& MakeBot(const Call& call, Resource resource, const std::string& name, int level) {
  const std::string username =
      NameOf(resource) + "_" + std::to_string(resource.id) + "_bot_" + call.state->RandomHex(32);
  User& bot = call.state->AddUser({.username = username, .name = name, .kind = UserKind::kProjectBot});
  bot.created_by = call.user->id;
  bot.provisioned_by = resource;
  bot.email = username + "@noreply.example.test";
  call.state->SetMember(resource, bot.id, level);
  return bot;
}

HttpResponse Create(Call& call) {
  const ResourceKind kind = KindOf(call);
  const Version& version = call.state->version();
  ParamChecks checks(call.params);
  const TokenRequest request = ReadTokenRequest(*call.state, &checks, BotTokenScopes(version), /*commas=*/false);
  const int64_t level = checks.Integer("access_level").value_or(kMaintainer);
  const bool known = level == 10 || level == 15 || level == 20 || level == 30 || level == 40 || level == 50;
  if (!known) checks.Fail("access_level does not have a valid value");
  // From 16.1 to about 18.6 the date was a required parameter.
  if (!version.AtLeast(18, 7) && call.params.Find("expires_at") == nullptr) checks.Fail("expires_at is missing");
  if (!checks.ok()) return GrapeError(400, checks.error());
  const TargetResult target = FindTarget(call, kind);
  if (target.refusal) return *target.refusal;
  const Resource resource = target.resource;
  if (!MayManage(call, resource) || Archived(call, resource)) {
    return BadRequest("User does not have permission to create " + NameOf(resource) + " access token");
  }
  const bool person = call.user->kind == UserKind::kHuman;
  if (person && !call.admin && level > call.state->EffectiveLevel(resource, call.user->id)) {
    return BadRequest(version.AtLeast(18, 0)
                          ? "Access level of the token contains permissions not held by the creating user"
                          : "Access level of the token can't be greater the access level of the user who created "
                            "the token");
  }
  const auto bot_problems = BotNameProblems(request.name);
  if (!bot_problems.empty()) return BadRequest(Sentence(bot_problems));
  const bool enforced = call.state->settings().require_expiry;
  const auto problems = TokenProblems(*call.state, request, enforced);
  if (!problems.empty()) return BadRequest(Sentence(problems));
  if (enforced && !request.expires_at) return BadRequest("Expires at can't be blank");
  const User& bot = MakeBot(call, resource, request.name, static_cast<int>(level));
  const Token& token = MakeToken(call.state, bot.id, request, enforced);
  return Json(201, ToJson(call, resource, token, true));
}

HttpResponse Rotated(Call& call, Resource resource, Token* token, std::optional<std::chrono::sys_days> expires_at) {
  if (token->revoked) return BadRequest("Token already revoked");
  const RotateResult result = RotateToken(call.state, token->id, expires_at, call.state->settings().require_expiry);
  if (result.successor == nullptr) return BadRequest(Sentence(result.problems));
  return Json(200, ToJson(call, resource, *result.successor, true));
}

HttpResponse Rotate(Call& call) {
  ParamChecks checks(call.params);
  const auto expires_at = checks.Date("expires_at");
  if (!checks.ok()) return GrapeError(400, checks.error());
  const TargetResult target = FindTarget(call, KindOf(call));
  if (target.refusal) return *target.refusal;
  Token* token = FindTokenOf(call, target.resource);
  if (!MayManage(call, target.resource) || token == nullptr) return call.admin ? NotFound() : Unauthorized();
  const int own_level = call.state->EffectiveLevel(target.resource, call.user->id);
  if (!call.admin && call.state->DirectLevel(target.resource, token->user_id) > own_level) {
    return BadRequest("Not eligible to rotate tokens with permissions not held by the user");
  }
  return Rotated(call, target.resource, token, expires_at);
}

// Only a bot of this very resource may, and only its own token.
HttpResponse RotateSelf(Call& call) {
  ParamChecks checks(call.params);
  const auto expires_at = checks.Date("expires_at");
  if (!checks.ok()) return GrapeError(400, checks.error());
  if (call.user->kind != UserKind::kProjectBot) return Message(405, "405 Method Not Allowed");
  const TargetResult target = FindTarget(call, KindOf(call));
  if (target.refusal) return *target.refusal;
  if (call.state->DirectLevel(target.resource, call.user->id) == 0) return Unauthorized();
  return Rotated(call, target.resource, call.token, expires_at);
}

HttpResponse Revoke(Call& call) {
  const TargetResult target = FindTarget(call, KindOf(call));
  if (target.refusal) return *target.refusal;
  Token* token = FindTokenOf(call, target.resource);
  if (token == nullptr) return TokenAbsent(target.resource);
  if (!MayRead(call, target.resource)) {
    return BadRequest(call.user->name + " cannot delete " + call.state->FindUser(token->user_id)->name);
  }
  call.state->Revoke(token);
  return NoContent();
}

}  // namespace

std::vector<Route> ResourceAccessTokenRoutes() {
  std::vector<Route> out;
  for (const std::string source : {"/projects/:id", "/groups/:id"}) {
    const std::string base = source + "/access_tokens";
    out.push_back({"GET", base, List});
    out.push_back({"POST", base, Create});
    out.push_back({"POST", base + "/self/rotate", RotateSelf, ScopeRule::kSelfRotate});
    out.push_back({"GET", base + "/:token_id", Show});
    out.push_back({"DELETE", base + "/:token_id", Revoke});
    out.push_back({"POST", base + "/:token_id/rotate", Rotate});
  }
  return out;
}

}  // namespace tokenbroker::gitlab_sim
