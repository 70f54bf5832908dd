#include "tests/gitlab_sim/entity_json.h"

#include <map>
#include <set>

#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/json_text.h"
#include "tests/gitlab_sim/key_tables.h"

namespace tokenbroker::gitlab_sim {
namespace {

using Computed = std::map<std::string, std::string>;

// The keys of the table that this version has, with the computed values in their places.
std::string FromTable(const State& state, const std::vector<KeyDefault>& keys, const Computed& computed,
                      const std::set<std::string>& left_out) {
  const int version = state.version().major_number * 100 + state.version().minor_number;
  JsonObject out;
  for (const KeyDefault& key : keys) {
    if (version < key.since || (key.until != 0 && version >= key.until) || left_out.count(key.key) > 0) continue;
    const auto value = computed.find(key.key);
    if (value != computed.end()) {
      out.Raw(key.key, value->second);
    } else if (key.json != nullptr) {
      out.Raw(key.key, key.json);
    }
  }
  if (state.settings().unknown_fields) out.Raw("future_field", R"({"nested":[1,null]})");
  return out.Finish();
}

std::string LastPart(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string StateOf(const User& user) { return user.blocked ? "blocked" : "active"; }

std::string AvatarUrl(const User& user) {
  return "https://www.gravatar.com/avatar/" + std::to_string(user.id) + "?s=80&d=identicon";
}

void AddBasic(const Call& call, const User& user, JsonObject* out) {
  const bool with_public_email = call.state->version().AtLeast(18, 0);
  out->Number("id", user.id).Text("username", user.username);
  if (with_public_email) out->Null("public_email");
  out->Text("name", user.name).Text("state", StateOf(user)).Bool("locked", false);
  out->Text("avatar_url", AvatarUrl(user)).Text("web_url", call.base_url + "/" + user.username);
}

std::string NumberOrNull(int64_t value) { return value == 0 ? "null" : std::to_string(value); }

// What administrators see of a user.
std::string UserForAdmin(const Call& call, const User& user, bool single) {
  const std::string created = JsonQuote(TimestampText(user.created_at));
  const bool bot = user.kind != UserKind::kHuman;
  Computed values = {
      {"id", std::to_string(user.id)},
      {"username", JsonQuote(user.username)},
      {"name", JsonQuote(user.name)},
      {"state", JsonQuote(StateOf(user))},
      {"avatar_url", JsonQuote(AvatarUrl(user))},
      {"web_url", JsonQuote(call.base_url + "/" + user.username)},
      {"created_at", created},
      {"confirmed_at", created},
      {"bot", bot ? "true" : "false"},
      {"email", JsonQuote(user.email)},
      {"commit_email", JsonQuote(user.email)},
      {"external", bot ? "true" : "false"},
      {"is_admin", user.admin ? "true" : "false"},
      {"namespace_id", std::to_string(1000 + user.id)},
      {"created_by", "null"},
      {"using_license_seat", "false"},
      {"last_activity_on", user.last_activity ? JsonQuote(DateText(*user.last_activity)) : "null"},
      {"note", bot ? "null" : "\"\""},
  };
  if (const User* creator = call.state->FindUser(user.created_by); creator != nullptr) {
    values["created_by"] = UserBasicJson(call, *creator);
  }
  std::set<std::string> left_out;
  if (!single) left_out = {"highest_role", "current_sign_in_ip", "last_sign_in_ip", "sign_in_count", "plan", "trial"};
  // Nobody follows himself; in the single object nobody follows at all.
  if (!single && call.user->id != user.id) {
    values["followers"] = "0";
    values["following"] = "0";
    values["is_followed"] = "false";
  }
  return FromTable(*call.state, UserKeys(), values, left_out);
}

std::string NamespaceJson(const Call& call, const Project& project) {
  JsonObject out;
  if (const Group* group = call.state->FindGroup(std::to_string(project.group_id)); group != nullptr) {
    out.Number("id", group->id).Text("name", LastPart(group->full_path)).Text("path", LastPart(group->full_path));
    out.Text("kind", "group").Text("full_path", group->full_path).Raw("parent_id", NumberOrNull(group->parent_id));
    out.Null("avatar_url").Text("web_url", call.base_url + "/groups/" + group->full_path);
  } else {
    const std::string owner = project.full_path.substr(0, project.full_path.find('/'));
    out.Number("id", 1000 + project.creator_id).Text("name", owner).Text("path", owner).Text("kind", "user");
    out.Text("full_path", owner).Null("parent_id").Null("avatar_url").Text("web_url", call.base_url + "/" + owner);
  }
  return out.Finish();
}

std::string WithBlanks(const std::string& path) {
  std::string out;
  for (const char c : path) out += c == '/' ? " / " : std::string(1, c);
  return out;
}

std::string AccessJson(int level) {
  if (level == 0) return "null";
  return JsonObject().Number("access_level", level).Number("notification_level", 3).Finish();
}

std::string ProjectObject(const Call& call, const Project& project, bool nested) {
  const std::string id = std::to_string(project.id);
  const std::string created = JsonQuote(TimestampText(project.created_at));
  const std::string web_url = call.base_url + "/" + project.full_path;
  const std::string host = call.base_url.substr(call.base_url.find("//") + 2);
  const Resource resource{ResourceKind::kProject, project.id};
  JsonObject links;
  const std::string self = call.base_url + "/api/v4/projects/" + id;
  links.Text("self", self);
  for (const char* name : {"issues", "merge_requests"}) links.Text(name, self + "/" + name);
  links.Text("repo_branches", self + "/repository/branches");
  for (const char* name : {"labels", "events", "members", "cluster_agents"}) links.Text(name, self + "/" + name);
  Computed values = {
      {"id", id},
      {"description", "\"\""},
      {"description_html", "\"\""},
      {"name", JsonQuote(LastPart(project.full_path))},
      {"name_with_namespace", JsonQuote(WithBlanks(project.full_path))},
      {"path", JsonQuote(LastPart(project.full_path))},
      {"path_with_namespace", JsonQuote(project.full_path)},
      {"created_at", created},
      {"updated_at", created},
      {"last_activity_at", created},
      {"ssh_url_to_repo", JsonQuote("ssh://git@" + host + "/" + project.full_path + ".git")},
      {"http_url_to_repo", JsonQuote(web_url + ".git")},
      {"web_url", JsonQuote(web_url)},
      {"visibility", JsonQuote(project.visibility)},
      {"namespace", NamespaceJson(call, project)},
      {"_links", links.Finish()},
      {"empty_repo", "false"},
      {"archived", project.archived ? "true" : "false"},
      {"creator_id", NumberOrNull(project.creator_id == 0 ? 1 : project.creator_id)},
      {"container_expiration_policy",
       JsonObject()
           .Text("cadence", "1d")
           .Bool("enabled", false)
           .Number("keep_n", 10)
           .Text("older_than", "90d")
           .Text("name_regex", ".*")
           .Null("name_regex_keep")
           .Text("next_run_at", TimestampText(project.created_at + std::chrono::hours(24)))
           .Finish()},
  };
  std::set<std::string> left_out;
  if (nested) {
    left_out = {"import_error"};
  } else if (call.user != nullptr) {
    values["permissions"] =
        JsonObject()
            .Raw("project_access", AccessJson(call.state->DirectLevel(resource, call.user->id)))
            .Raw("group_access", AccessJson(call.state->InheritedLevel(project.group_id, call.user->id)))
            .Finish();
  }
  if (call.admin) values["repository_storage"] = "\"default\"";
  if (call.admin || (call.user != nullptr && call.state->EffectiveLevel(resource, call.user->id) >= 40)) {
    values["runners_token"] = JsonQuote("GR1348941simulated-project-" + id);
  }
  return FromTable(*call.state, ProjectKeys(), values, left_out);
}

}  // namespace

std::string UserBasicJson(const Call& call, const User& user) {
  JsonObject out;
  AddBasic(call, user, &out);
  return out.Finish();
}

std::string UserListJson(const Call& call, const User& user) {
  return call.admin ? UserForAdmin(call, user, /*single=*/false) : UserBasicJson(call, user);
}

std::string UserJson(const Call& call, const User& user) {
  if (call.admin) return UserForAdmin(call, user, /*single=*/true);
  JsonObject out;
  AddBasic(call, user, &out);
  out.Text("created_at", TimestampText(user.created_at)).Text("bio", "").Text("location", "");
  out.Text("website_url", "").Text("job_title", "").Null("pronouns").Bool("bot", user.kind != UserKind::kHuman);
  out.Null("work_information").Number("followers", 0).Number("following", 0).Bool("is_followed", false);
  return out.Null("local_time").Finish();
}

std::string CurrentUserJson(const Call& call) {
  const User& user = *call.user;
  JsonObject out;
  AddBasic(call, user, &out);
  out.Text("created_at", TimestampText(user.created_at)).Text("bio", "").Text("location", "");
  out.Bool("bot", user.kind != UserKind::kHuman).Text("email", user.email).Text("commit_email", user.email);
  out.Text("confirmed_at", TimestampText(user.created_at)).Bool("two_factor_enabled", false);
  out.Bool("external", user.kind != UserKind::kHuman).Bool("can_create_group", false).Bool("can_create_project", false);
  // Shown to administrators alone, and only while the request has their rights.
  if (call.admin) out.Bool("is_admin", true).Text("note", "").Number("namespace_id", 1000 + user.id);
  return out.Finish();
}

std::string ServiceAccountJson(const User& user) {
  return JsonObject()
      .Number("id", user.id)
      .Text("username", user.username)
      .Null("public_email")
      .Text("name", user.name)
      .Text("email", user.email)
      .Finish();
}

std::string MemberJson(const Call& call, const User& user, int access_level) {
  JsonObject out;
  AddBasic(call, user, &out);
  out.Number("access_level", access_level).Text("created_at", TimestampText(user.created_at)).Null("expires_at");
  return out.Text("membership_state", "active").Finish();
}

std::string ProjectJson(const Call& call, const Project& project) {
  return ProjectObject(call, project, /*nested=*/false);
}

std::string GroupJson(const Call& call, const Group& group) {
  Computed values = {
      {"id", std::to_string(group.id)},
      {"web_url", JsonQuote(call.base_url + "/groups/" + group.full_path)},
      {"name", JsonQuote(LastPart(group.full_path))},
      {"path", JsonQuote(LastPart(group.full_path))},
      {"description", "\"\""},
      {"visibility", JsonQuote(group.visibility)},
      {"full_name", JsonQuote(WithBlanks(group.full_path))},
      {"full_path", JsonQuote(group.full_path)},
      {"created_at", JsonQuote(TimestampText(group.created_at))},
      {"parent_id", NumberOrNull(group.parent_id)},
      {"archived", group.archived ? "true" : "false"},
  };
  const Param* with_projects = call.params.Find("with_projects");
  if (with_projects == nullptr || with_projects->text != "false") {
    std::vector<std::string> projects;
    for (const Project* project : call.state->ProjectsIn(group.id)) {
      if (!call.state->Visible({ResourceKind::kProject, project->id}, call.user, call.admin)) continue;
      if (projects.size() < 100) projects.push_back(ProjectObject(call, *project, /*nested=*/true));
    }
    values["projects"] = JsonArray(projects);
  }
  const Resource resource{ResourceKind::kGroup, group.id};
  if (call.admin || (call.user != nullptr && call.state->EffectiveLevel(resource, call.user->id) >= 50)) {
    values["runners_token"] = JsonQuote("GR1348941simulated-group-" + std::to_string(group.id));
  }
  std::set<std::string> left_out;
  if (group.parent_id != 0) {
    left_out = {"duo_namespace_access_rules", "enabled_git_access_protocol", "prevent_sharing_groups_outside_hierarchy",
                "service_access_tokens_expiration_enforced"};
  }
  return FromTable(*call.state, GroupKeys(), values, left_out);
}

}  // namespace tokenbroker::gitlab_sim
