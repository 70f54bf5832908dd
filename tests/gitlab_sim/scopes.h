// Which scopes a token of which kind may have.
#pragma once

#include <string>
#include <vector>

#include "tests/gitlab_sim/state.h"

namespace tokenbroker::gitlab_sim {

// What `POST /users/:id/personal_access_tokens` and the service accounts' tokens accept: everything, the scopes of
// administrators included, whoever the owner is. The registries and the dependency proxy are on.
std::vector<std::string> PersonalTokenScopes(const Version& version);
// Project and group tokens: neither `read_user` nor what is an administrator's.
std::vector<std::string> BotTokenScopes(const Version& version);

}  // namespace tokenbroker::gitlab_sim
