// /users and /user.
#include <cstddef>
#include <string>
#include <vector>

#include "tests/gitlab_sim/entity_json.h"
#include "tests/gitlab_sim/errors.h"
#include "tests/gitlab_sim/listing.h"
#include "tests/gitlab_sim/routes.h"

namespace tokenbroker::gitlab_sim {
namespace {

bool Contains(const std::string& text, const std::string& lower_part) {
  return Lower(text).find(lower_part) != std::string::npos;
}

HttpResponse List(Call& call) {
  ParamChecks checks(call.params);
  const auto username = checks.Text("username");
  const auto search = checks.Text("search");
  if (!checks.ok()) return GrapeError(400, checks.error());
  std::vector<const User*> rows;
  for (auto at = call.state->users().rbegin(); at != call.state->users().rend(); ++at) {
    const User& user = at->second;
    if (user.blocked && !call.admin) continue;
    if (username && Lower(user.username) != Lower(*username)) continue;
    if (search && !Contains(user.username, Lower(*search)) && !Contains(user.name, Lower(*search))) continue;
    rows.push_back(&user);
  }
  std::vector<std::pair<std::string, std::string>> declared = {{"order_by", "id"}, {"sort", "desc"}};
  for (const char* flag : {"active", "admins", "auditors", "blocked", "exclude_active", "exclude_external",
                           "exclude_humans", "exclude_internal", "external", "humans", "skip_ldap",
                           "with_custom_attributes", "without_project_bots", "without_projects"}) {
    declared.emplace_back(flag, "false");
  }
  return Page(call, rows.size(), declared, [&](size_t i) { return UserListJson(call, *rows[i]); });
}

HttpResponse Show(Call& call) {
  const auto id = call.PathId("id");
  if (!id) return GrapeError(400, "id is invalid");
  const User* user = call.state->FindUser(*id);
  if (user == nullptr || (user->blocked && !call.admin)) return NotFound("User");
  return Json(200, UserJson(call, *user));
}

HttpResponse ShowCurrent(Call& call) { return Json(200, CurrentUserJson(call)); }

HttpResponse Delete(Call& call) {
  const auto id = call.PathId("id");
  if (!id || call.state->FindUser(*id) == nullptr) return NotFound("User");
  call.state->DeleteUser(*id);
  return NoContent();
}

}  // namespace

std::vector<Route> UserRoutes() {
  return {
      {"GET", "/user", ShowCurrent, ScopeRule::kUsers},
      {"GET", "/users", List, ScopeRule::kUsers},
      {"GET", "/users/:id", Show, ScopeRule::kUsers},
      {"DELETE", "/users/:id", Delete, ScopeRule::kUsers, /*admin_only=*/true},
  };
}

}  // namespace tokenbroker::gitlab_sim
