// The JSON objects of users, projects and groups, with all keys that GitLab's have.
#pragma once

#include <string>

#include "tests/gitlab_sim/call.h"
#include "tests/gitlab_sim/state.h"

namespace tokenbroker::gitlab_sim {

std::string UserBasicJson(const Call& call, const User& user);  // What everyone may see.
std::string UserListJson(const Call& call, const User& user);   // A row of GET /users.
std::string UserJson(const Call& call, const User& user);       // GET /users/:id
std::string CurrentUserJson(const Call& call);                  // GET /user
std::string ServiceAccountJson(const User& user);
std::string MemberJson(const Call& call, const User& user, int access_level);
std::string ProjectJson(const Call& call, const Project& project);
std::string GroupJson(const Call& call, const Group& group);

}  // namespace tokenbroker::gitlab_sim
