// Who calls, and with which scopes: GitLab's guard in front of every API route.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/gitlab_sim/call.h"
#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

// The credential's text, looked for in GitLab's order: parameter, PRIVATE-TOKEN, bearer.
std::optional<std::string> CredentialOf(const HttpRequest& request, const Params& params);

// Fills in token, user and admin of the call, or gives the refusal. An empty `scopes` means that any will do.
// A revoked token on a rotate path takes the living rest of its family down (reuse detection).
// With `anonymous_allowed` a call without a credential passes with no user.
std::optional<HttpResponse> Authenticate(Call* call, const std::vector<std::string>& scopes, bool anonymous_allowed);

// Notes a use: the time at most every 10 minutes, the address at most every minute, five addresses at most.
void NoteUse(State* state, Token* token, const std::string& ip);

// An administrator's rights in a request with this token: Admin Mode demands the scope `admin_mode`.
bool ActsAsAdmin(const State& state, const User& user, const Token& token);

}  // namespace tokenbroker::gitlab_sim
