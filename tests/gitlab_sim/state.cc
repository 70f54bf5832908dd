#include "tests/gitlab_sim/state.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>

#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/secret_format.h"

namespace tokenbroker::gitlab_sim {
namespace {

// A seed that cannot be planted is a mistake in the test.
[[noreturn]] void BadSeed(const std::string& what) {
  std::fprintf(stderr, "gitlab_sim: %s\n", what.c_str());
  std::abort();
}

bool AllDigits(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

template <typename Map>
typename Map::mapped_type* Find(Map* map, int64_t id) {
  const auto found = map->find(id);
  return found == map->end() ? nullptr : &found->second;
}

int64_t Claim(int64_t wanted, int64_t* next) {
  const int64_t id = wanted != 0 ? wanted : *next;
  *next = std::max(*next, id + 1);
  return id;
}

}  // namespace

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

Version Version::Parse(const std::string& text) {
  Version out;
  out.text = text;
  char* rest = nullptr;
  out.major_number = static_cast<int>(std::strtol(text.c_str(), &rest, 10));
  if (*rest == '.') out.minor_number = static_cast<int>(std::strtol(rest + 1, nullptr, 10));
  return out;
}

bool Version::AtLeast(int major_wanted, int minor_wanted) const {
  return std::pair(major_number, minor_number) >= std::pair(major_wanted, minor_wanted);
}

bool Token::HasScope(const std::string& scope) const {
  return std::find(scopes.begin(), scopes.end(), scope) != scopes.end();
}

State::State(std::function<TimePoint()> clock, const std::string& version, uint64_t seed)
    : clock_(std::move(clock)), version_(Version::Parse(version)), random_(seed) {}

User& State::AddUser(const UserSeed& seed) {
  if (seed.username.empty() || users_by_name_.count(Lower(seed.username)) > 0) {
    BadSeed("user name '" + seed.username + "' is empty or taken");
  }
  User user;
  user.id = Claim(seed.id, &next_user_);
  user.username = seed.username;
  user.name = seed.name.empty() ? seed.username : seed.name;
  user.email = seed.username + "@example.test";
  user.kind = seed.kind;
  user.admin = seed.admin;
  user.blocked = seed.blocked;
  user.created_at = Now();
  users_by_name_[Lower(seed.username)] = user.id;
  return users_[user.id] = user;
}

User* State::FindUser(int64_t id) { return Find(&users_, id); }

User* State::FindUserByName(const std::string& username) {
  const auto found = users_by_name_.find(Lower(username));
  return found == users_by_name_.end() ? nullptr : FindUser(found->second);
}

void State::DeleteUser(int64_t id) {
  const User* user = FindUser(id);
  if (user == nullptr) return;
  for (const int64_t token_id : TokensOf(id)) {
    tokens_by_secret_.erase(tokens_.at(token_id).secret);
    tokens_.erase(token_id);
  }
  tokens_by_user_.erase(id);
  for (auto& [resource, levels] : members_) levels.erase(id);
  users_by_name_.erase(Lower(user->username));
  users_.erase(id);
}

Group& State::AddGroup(const GroupSeed& seed) {
  const std::string parent = ParentOf(seed.full_path);
  Group group;
  if (!parent.empty()) {
    const auto found = groups_by_path_.find(Lower(parent));
    if (found == groups_by_path_.end()) BadSeed("group '" + parent + "' is missing");
    group.parent_id = found->second;
  }
  if (groups_by_path_.count(Lower(seed.full_path)) > 0) BadSeed("group '" + seed.full_path + "' is there already");
  // Groups and users' own namespaces share one sequence; users are few, so a gap is as good.
  group.id = Claim(seed.id, &next_group_);
  group.full_path = seed.full_path;
  group.visibility = seed.visibility;
  group.archived = seed.archived;
  group.created_at = Now();
  groups_by_path_[Lower(seed.full_path)] = group.id;
  return groups_[group.id] = group;
}

Project& State::AddProject(const ProjectSeed& seed) {
  const std::string parent = ParentOf(seed.full_path);
  if (parent.empty()) BadSeed("project '" + seed.full_path + "' has no namespace");
  if (projects_by_path_.count(Lower(seed.full_path)) > 0) BadSeed("project '" + seed.full_path + "' is there already");
  Project project;
  if (const auto found = groups_by_path_.find(Lower(parent)); found != groups_by_path_.end()) {
    project.group_id = found->second;
  } else if (const User* owner = FindUserByName(parent); owner != nullptr) {
    project.creator_id = owner->id;
  } else {
    project.group_id = AddGroup({.full_path = parent}).id;
  }
  project.id = Claim(seed.id, &next_project_);
  project.full_path = seed.full_path;
  project.visibility = seed.visibility;
  project.archived = seed.archived;
  project.created_at = Now();
  projects_by_path_[Lower(seed.full_path)] = project.id;
  moved_.erase(Lower(seed.full_path));
  return projects_[project.id] = project;
}

Group* State::FindGroup(const std::string& id_or_path) {
  if (AllDigits(id_or_path)) return Find(&groups_, std::strtoll(id_or_path.c_str(), nullptr, 10));
  const auto found = groups_by_path_.find(Lower(id_or_path));
  return found == groups_by_path_.end() ? nullptr : Find(&groups_, found->second);
}

Project* State::FindProject(const std::string& id_or_path) {
  if (AllDigits(id_or_path)) return Find(&projects_, std::strtoll(id_or_path.c_str(), nullptr, 10));
  const auto found = projects_by_path_.find(Lower(id_or_path));
  return found == projects_by_path_.end() ? nullptr : Find(&projects_, found->second);
}

std::vector<const Project*> State::ProjectsIn(int64_t group_id) const {
  std::vector<const Project*> out;
  for (const auto& [id, project] : projects_) {
    if (project.group_id == group_id) out.push_back(&project);
  }
  return out;
}

Project* State::FindMoved(const std::string& path) {
  const auto found = moved_.find(Lower(path));
  return found == moved_.end() ? nullptr : Find(&projects_, found->second);
}

void State::MoveProject(int64_t id, const std::string& full_path) {
  Project* project = Find(&projects_, id);
  if (project == nullptr) BadSeed("no project " + std::to_string(id) + " to move");
  const auto group = groups_by_path_.find(Lower(ParentOf(full_path)));
  if (group == groups_by_path_.end()) BadSeed("group of '" + full_path + "' is missing");
  projects_by_path_.erase(Lower(project->full_path));
  moved_[Lower(project->full_path)] = id;
  moved_.erase(Lower(full_path));
  project->full_path = full_path;
  project->group_id = group->second;
  projects_by_path_[Lower(full_path)] = id;
}

void State::DeleteProject(int64_t id) {
  const Project* project = Find(&projects_, id);
  if (project == nullptr) return;
  projects_by_path_.erase(Lower(project->full_path));
  projects_.erase(id);
}

void State::SetMember(Resource resource, int64_t user_id, int level) { members_[resource][user_id] = level; }

void State::RemoveMember(Resource resource, int64_t user_id) { members_[resource].erase(user_id); }

int State::DirectLevel(Resource resource, int64_t user_id) const {
  const auto levels = members_.find(resource);
  if (levels == members_.end()) return 0;
  const auto level = levels->second.find(user_id);
  return level == levels->second.end() ? 0 : level->second;
}

int State::InheritedLevel(int64_t group_id, int64_t user_id) const {
  int best = 0;
  for (int64_t id = group_id; id != 0;) {
    best = std::max(best, DirectLevel({ResourceKind::kGroup, id}, user_id));
    const auto group = groups_.find(id);
    id = group == groups_.end() ? 0 : group->second.parent_id;
  }
  return best;
}

int State::EffectiveLevel(Resource resource, int64_t user_id) const {
  if (resource.kind == ResourceKind::kGroup) return InheritedLevel(resource.id, user_id);
  const auto project = projects_.find(resource.id);
  if (project == projects_.end()) return 0;
  if (project->second.creator_id == user_id) return 50;
  return std::max(DirectLevel(resource, user_id), InheritedLevel(project->second.group_id, user_id));
}

std::vector<int64_t> State::DirectMembers(Resource resource) const {
  std::vector<int64_t> out;
  const auto levels = members_.find(resource);
  if (levels == members_.end()) return out;
  for (const auto& [user_id, level] : levels->second) out.push_back(user_id);
  return out;
}

bool State::Visible(Resource resource, const User* user, bool admin) const {
  const bool project = resource.kind == ResourceKind::kProject;
  const std::string& visibility = project ? projects_.at(resource.id).visibility : groups_.at(resource.id).visibility;
  if (admin || visibility == "public") return true;
  if (user == nullptr) return false;
  // Bots and service accounts are external users: what is internal is closed to them.
  if (visibility == "internal" && user->kind == UserKind::kHuman) return true;
  if (EffectiveLevel(resource, user->id) > 0) return true;
  if (project) return false;
  // Whoever is a member of something below a group sees the group.
  const std::string prefix = Lower(groups_.at(resource.id).full_path) + "/";
  for (const auto& [member_of, levels] : members_) {
    if (levels.count(user->id) == 0) continue;
    const std::string* path = nullptr;
    if (member_of.kind == ResourceKind::kGroup) {
      const auto group = groups_.find(member_of.id);
      if (group != groups_.end()) path = &group->second.full_path;
    } else {
      const auto below = projects_.find(member_of.id);
      if (below != projects_.end()) path = &below->second.full_path;
    }
    if (path != nullptr && Lower(*path).rfind(prefix, 0) == 0) return true;
  }
  return false;
}

Token& State::AddToken(const TokenSeed& seed) {
  if (FindUser(seed.user_id) == nullptr) BadSeed("no user " + std::to_string(seed.user_id) + " for a token");
  Token token;
  token.id = Claim(seed.id, &next_token_);
  token.user_id = seed.user_id;
  token.name = seed.name;
  token.description = seed.description;
  token.scopes = seed.scopes;
  token.created_at = seed.created_at.value_or(Now());
  if (seed.expires_at) token.expires_at = ParseDate(*seed.expires_at);
  token.revoked = seed.revoked;
  token.revoked_at = token.created_at;
  token.impersonation = seed.impersonation;
  token.secret = seed.secret.empty() ? NewSecret(seed.user_id) : seed.secret;
  if (!tokens_by_secret_.emplace(token.secret, token.id).second) BadSeed("two tokens with one secret");
  tokens_by_user_[token.user_id].push_back(token.id);
  return tokens_[token.id] = token;
}

Token* State::FindToken(int64_t id) { return Find(&tokens_, id); }

Token* State::FindReplicatedToken(int64_t id) {
  Token* token = FindToken(id);
  if (token == nullptr || settings_.by_id_lag.count() == 0) return token;
  return token->created_at > Now() - settings_.by_id_lag ? nullptr : token;
}

Token* State::FindTokenBySecret(const std::string& secret) {
  const auto found = tokens_by_secret_.find(secret);
  return found == tokens_by_secret_.end() ? nullptr : FindToken(found->second);
}

std::vector<int64_t> State::TokensOf(int64_t user_id) const {
  const auto found = tokens_by_user_.find(user_id);
  if (found == tokens_by_user_.end()) return {};
  std::vector<int64_t> ids = found->second;
  std::sort(ids.begin(), ids.end());
  return ids;
}

void State::Revoke(Token* token) {
  if (!token->revoked) token->revoked_at = Now();
  token->revoked = true;
}

std::vector<Token*> State::ActiveDescendants(int64_t token_id) {
  // A child's id is greater than its parent's, so one pass in the order of ids finds the whole family.
  std::set<int64_t> family = {token_id};
  std::vector<Token*> out;
  for (auto at = tokens_.upper_bound(token_id); at != tokens_.end(); ++at) {
    Token& token = at->second;
    if (token.previous_id == 0 || family.count(token.previous_id) == 0) continue;
    family.insert(token.id);
    if (token.ActiveAt(Now())) out.push_back(&token);
  }
  return out;
}

std::string State::NewSecret(int64_t user_id) {
  if (!version_.AtLeast(18, 0)) {
    return LegacyToken(settings_.token_prefix, [this] { return random_(); });
  }
  std::array<uint8_t, 16> bytes{};
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random_());
  return RoutableToken(settings_.token_prefix, {.organization = 1, .user = user_id}, bytes, "01");
}

std::string State::RandomHex(int digits) {
  std::string out;
  for (int i = 0; i < digits; ++i) out += "0123456789abcdef"[random_() % 16];
  return out;
}

}  // namespace tokenbroker::gitlab_sim
