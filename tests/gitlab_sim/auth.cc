#include "tests/gitlab_sim/auth.h"

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/errors.h"

namespace tokenbroker::gitlab_sim {
namespace {

constexpr size_t kIpsKept = 5;

// access_tokens/(\d+|self)/rotate$, the paths on which a revoked token is taken for stolen.
bool IsRotatePath(const std::string& path) {
  const std::string tail = "/rotate";
  if (path.size() < tail.size() || path.compare(path.size() - tail.size(), tail.size(), tail) != 0) return false;
  const std::string rest = path.substr(0, path.size() - tail.size());
  const size_t slash = rest.rfind('/');
  if (slash == std::string::npos) return false;
  const std::string id = rest.substr(slash + 1);
  const std::string list = "access_tokens";
  const bool tokens = slash >= list.size() && rest.compare(slash - list.size(), list.size(), list) == 0;
  return tokens && (id == "self" || (!id.empty() && id.find_first_not_of("0123456789") == std::string::npos));
}

}  // namespace

std::optional<std::string> CredentialOf(const HttpRequest& request, const Params& params) {
  const Param* param = params.Find("private_token");
  if (param != nullptr && !param->text.empty()) return param->text;
  if (auto header = FindHeader(request.headers, "PRIVATE-TOKEN"); header && !header->empty()) return header;
  const auto authorization = FindHeader(request.headers, "Authorization");
  const std::string bearer = "Bearer ";
  if (authorization && authorization->rfind(bearer, 0) == 0) return authorization->substr(bearer.size());
  return std::nullopt;
}

bool ActsAsAdmin(const State& state, const User& user, const Token& token) {
  if (!user.admin || state.settings().admin_flag_lost) return false;
  return !state.settings().admin_mode || token.HasScope("admin_mode");
}

void NoteUse(State* state, Token* token, const std::string& ip) {
  const TimePoint now = state->Now();
  state->FindUser(token->user_id)->last_activity = DayOf(now);
  if (!token->last_used_at || now - *token->last_used_at >= std::chrono::minutes(10)) token->last_used_at = now;
  if (!token->ips.empty() && (token->ips.front() == ip || now - token->ips_written_at < std::chrono::minutes(1))) {
    return;
  }
  token->ips.erase(std::remove(token->ips.begin(), token->ips.end(), ip), token->ips.end());
  token->ips.insert(token->ips.begin(), ip);
  if (token->ips.size() > kIpsKept) token->ips.resize(kIpsKept);
  token->ips_written_at = now;
}

std::optional<HttpResponse> Authenticate(Call* call, const std::vector<std::string>& scopes, bool anonymous_allowed) {
  State& state = *call->state;
  const auto secret = CredentialOf(*call->request, call->params);
  if (!secret) return anonymous_allowed ? std::nullopt : std::optional(Unauthorized());
  Token* token = state.FindTokenBySecret(*secret);
  if (token == nullptr) return Unauthorized();
  const TimePoint now = state.Now();
  // A replica that has not heard of the token yet answers as if it were unknown.
  if (now - token->created_at < state.settings().fresh_token_lag) return Unauthorized();
  if (token->ExpiredAt(now)) {
    return InvalidToken("Token is expired. You can either do re-authorization or token refresh.");
  }
  if (token->revoked) {
    if (IsRotatePath(PathOf(call->request->target))) {
      for (Token* descendant : state.ActiveDescendants(token->id)) state.Revoke(descendant);
    }
    return InvalidToken("Token was revoked. You have to re-authorize from the user.");
  }
  // `read_api` and `read_user` open GET and HEAD alone; the refusal names all scopes of the route all the same.
  const bool enough = scopes.empty() || std::any_of(scopes.begin(), scopes.end(), [&](const std::string& scope) {
                        return token->HasScope(scope) && (!call->IsWrite() || scope.rfind("read_", 0) != 0);
                      });
  if (!enough) {
    std::string names;
    for (const std::string& scope : scopes) names += (names.empty() ? "" : " ") + scope;
    return InsufficientScope(names);
  }
  if (token->impersonation && !state.settings().impersonation_enabled) {
    return InvalidToken("Token is an impersonation token but impersonation was disabled.");
  }
  NoteUse(&state, token, call->request->remote_ip);
  call->token = token;
  call->user = state.FindUser(token->user_id);
  call->admin = ActsAsAdmin(state, *call->user, *token);
  if (call->user->blocked) return Forbidden("Your account has been blocked.");
  return std::nullopt;
}

}  // namespace tokenbroker::gitlab_sim
