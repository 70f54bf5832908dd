// What the instance knows: users, groups, projects, members, tokens. Tables and their look-ups; the rules of the API
// stand in the files of its routes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

struct Version {
  int major_number = 0;
  int minor_number = 0;
  std::string text;

  static Version Parse(const std::string& text);
  bool AtLeast(int major_wanted, int minor_wanted) const;
};

enum class ResourceKind { kProject, kGroup };

struct Resource {
  ResourceKind kind = ResourceKind::kProject;
  int64_t id = 0;
  bool operator==(const Resource& other) const { return kind == other.kind && id == other.id; }
  bool operator<(const Resource& other) const { return std::pair(kind, id) < std::pair(other.kind, other.id); }
};

struct User {
  int64_t id = 0;
  std::string username;
  std::string name;
  std::string email;
  UserKind kind = UserKind::kHuman;
  bool admin = false;
  bool blocked = false;
  int64_t created_by = 0;
  TimePoint created_at{};
  std::optional<std::chrono::sys_days> last_activity;
  std::optional<Resource> provisioned_by;  // Bots and service accounts that belong to a project or group.
};

struct Group {
  int64_t id = 0;
  std::string full_path;
  int64_t parent_id = 0;
  std::string visibility;
  bool archived = false;
  TimePoint created_at{};
};

struct Project {
  int64_t id = 0;
  std::string full_path;
  int64_t group_id = 0;    // 0: in a user's namespace.
  int64_t creator_id = 0;  // That user, else 0.
  std::string visibility;
  bool archived = false;
  TimePoint created_at{};
};

struct Token {
  int64_t id = 0;
  int64_t user_id = 0;
  std::string name;
  std::optional<std::string> description;
  std::vector<std::string> scopes;
  TimePoint created_at{};
  std::optional<std::chrono::sys_days> expires_at;
  bool revoked = false;
  TimePoint revoked_at{};
  std::optional<TimePoint> last_used_at;
  std::vector<std::string> ips;  // Newest first.
  TimePoint ips_written_at{};
  int64_t previous_id = 0;
  bool impersonation = false;
  std::string secret;

  bool ExpiredAt(TimePoint now) const { return expires_at && TimePoint(*expires_at) <= now; }
  bool ActiveAt(TimePoint now) const { return !revoked && !ExpiredAt(now); }
  bool HasScope(const std::string& scope) const;
};

std::string Lower(std::string text);

class State {
 public:
  State(std::function<TimePoint()> clock, const std::string& version, uint64_t seed);

  TimePoint Now() const { return clock_(); }
  const Version& version() const { return version_; }
  Settings& settings() { return settings_; }
  const Settings& settings() const { return settings_; }

  // Users.
  User& AddUser(const UserSeed& seed);
  User* FindUser(int64_t id);
  User* FindUserByName(const std::string& username);
  const std::map<int64_t, User>& users() const { return users_; }
  void DeleteUser(int64_t id);  // With its tokens and memberships.

  // Groups and projects.
  Group& AddGroup(const GroupSeed& seed);
  Project& AddProject(const ProjectSeed& seed);
  Group* FindGroup(const std::string& id_or_path);
  Project* FindProject(const std::string& id_or_path);
  std::vector<const Project*> ProjectsIn(int64_t group_id) const;
  // Where a project that left this path is now; null if none did or the path was taken again.
  Project* FindMoved(const std::string& path);
  void MoveProject(int64_t id, const std::string& full_path);
  void DeleteProject(int64_t id);

  // Members. A level of 0 is none.
  void SetMember(Resource resource, int64_t user_id, int level);
  void RemoveMember(Resource resource, int64_t user_id);
  int DirectLevel(Resource resource, int64_t user_id) const;
  int EffectiveLevel(Resource resource, int64_t user_id) const;  // With the groups above.
  int InheritedLevel(int64_t group_id, int64_t user_id) const;   // The group and those above it.
  std::vector<int64_t> DirectMembers(Resource resource) const;
  bool Visible(Resource resource, const User* user, bool admin) const;

  // Tokens.
  Token& AddToken(const TokenSeed& seed);
  Token* FindToken(int64_t id);
  // As a route with the token's id finds it: not yet while Settings::by_id_lag lasts.
  Token* FindReplicatedToken(int64_t id);
  Token* FindTokenBySecret(const std::string& secret);
  const std::map<int64_t, Token>& tokens() const { return tokens_; }
  std::vector<int64_t> TokensOf(int64_t user_id) const;  // Ascending ids.
  void Revoke(Token* token);
  // The living members of a token's family that came after it.
  std::vector<Token*> ActiveDescendants(int64_t token_id);
  std::string NewSecret(int64_t user_id);

  uint64_t Random() { return random_(); }
  std::string RandomHex(int digits);

 private:
  std::function<TimePoint()> clock_;
  Version version_;
  Settings settings_;
  std::mt19937_64 random_;
  std::map<int64_t, User> users_;
  std::map<int64_t, Group> groups_;
  std::map<int64_t, Project> projects_;
  std::map<int64_t, Token> tokens_;
  std::unordered_map<std::string, int64_t> users_by_name_;     // Lower case.
  std::unordered_map<std::string, int64_t> groups_by_path_;    // Lower case.
  std::unordered_map<std::string, int64_t> projects_by_path_;  // Lower case.
  std::unordered_map<std::string, int64_t> moved_;             // Lower case old path of a project.
  std::unordered_map<std::string, int64_t> tokens_by_secret_;
  std::unordered_map<int64_t, std::vector<int64_t>> tokens_by_user_;
  std::map<Resource, std::map<int64_t, int>> members_;
  int64_t next_user_ = 1;
  int64_t next_group_ = 1;
  int64_t next_project_ = 1;
  int64_t next_token_ = 1;
};

}  // namespace tokenbroker::gitlab_sim
