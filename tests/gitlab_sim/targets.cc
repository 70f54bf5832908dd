// GET /projects/:id, GET /groups/:id and their members.
#include "tests/gitlab_sim/targets.h"

#include <string>
#include <vector>

#include "tests/gitlab_sim/entity_json.h"
#include "tests/gitlab_sim/errors.h"
#include "tests/gitlab_sim/routes.h"

namespace tokenbroker::gitlab_sim {
namespace {

HttpResponse Moved(const Call& call, const Project& project) {
  if (call.IsWrite()) return Message(405, "Non GET methods are not allowed for moved projects");
  // The same route with the id in place of the old path.
  const std::string prefix = "/api/v4/projects/";
  const size_t end = call.request->target.find_first_of("/?", prefix.size());
  const std::string rest = end == std::string::npos ? "" : call.request->target.substr(end);
  const std::string location = call.base_url + prefix + std::to_string(project.id) + rest;
  HttpResponse out = Message(301, "This resource has been moved permanently to " + location);
  out.headers.emplace_back("Location", location);
  return out;
}

HttpResponse ShowProject(Call& call) {
  const TargetResult target = FindTarget(call, ResourceKind::kProject);
  if (target.refusal) return *target.refusal;
  return Json(200, ProjectJson(call, *call.state->FindProject(std::to_string(target.resource.id))));
}

HttpResponse ShowGroup(Call& call) {
  const TargetResult target = FindTarget(call, ResourceKind::kGroup);
  if (target.refusal) return *target.refusal;
  return Json(200, GroupJson(call, *call.state->FindGroup(std::to_string(target.resource.id))));
}

// The effective membership of one user, inherited ones included.
HttpResponse ShowMember(Call& call, ResourceKind kind) {
  const TargetResult target = FindTarget(call, kind);
  if (target.refusal) return *target.refusal;
  const auto user_id = call.PathId("user_id");
  const User* user = user_id ? call.state->FindUser(*user_id) : nullptr;
  const int level = user == nullptr ? 0 : call.state->EffectiveLevel(target.resource, user->id);
  if (level == 0) return RecordNotFound();
  return Json(200, MemberJson(call, *user, level));
}

HttpResponse ShowProjectMember(Call& call) { return ShowMember(call, ResourceKind::kProject); }
HttpResponse ShowGroupMember(Call& call) { return ShowMember(call, ResourceKind::kGroup); }

}  // namespace

TargetResult FindTarget(Call& call, ResourceKind kind) {
  TargetResult out;
  const std::string id = call.PathParam("id");
  if (kind == ResourceKind::kProject) {
    const Project* project = call.state->FindProject(id);
    if (project == nullptr) {
      const Project* moved = call.state->FindMoved(id);
      if (moved != nullptr && call.state->Visible({kind, moved->id}, call.user, call.admin)) {
        out.refusal = Moved(call, *moved);
        return out;
      }
    }
    if (project == nullptr || !call.state->Visible({kind, project->id}, call.user, call.admin)) {
      out.refusal = NotFound("Project");
      return out;
    }
    out.resource = {kind, project->id};
  } else {
    const Group* group = call.state->FindGroup(id);
    if (group == nullptr || !call.state->Visible({kind, group->id}, call.user, call.admin)) {
      out.refusal = NotFound("Group");
      return out;
    }
    out.resource = {kind, group->id};
  }
  return out;
}

std::vector<Route> TargetRoutes() {
  return {
      {"GET", "/projects/:id", ShowProject, ScopeRule::kApi, false, /*anonymous_allowed=*/true},
      {"GET", "/groups/:id", ShowGroup, ScopeRule::kApi, false, /*anonymous_allowed=*/true},
      {"GET", "/projects/:id/members/all/:user_id", ShowProjectMember},
      {"GET", "/groups/:id/members/all/:user_id", ShowGroupMember},
  };
}

}  // namespace tokenbroker::gitlab_sim
