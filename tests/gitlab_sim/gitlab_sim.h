// A GitLab for tests: real HTTP on a loopback port, state in memory, behaviour of the versions named in Options.
// Start one per test; everything here may be called from any thread while requests run.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

struct Options {
  std::string version = "18.11.5";   // 17.11.7, 18.11.5, 19.0.2 or another; features follow the number.
  uint16_t port = 0;                 // 0: any free one.
  uint16_t management_port = 0;      // 0: any free one.
  std::string git_root;              // Where bare repositories live; empty: no Git.
  std::string external_url;          // Host in `Link` and `web_url`; empty: the url that is listened on.
  size_t requests_kept = 1'000'000;  // Older ones are forgotten.
  uint64_t seed = 1;                 // Of secrets, bot names and request ids.
};

struct SeededToken {
  int64_t id = 0;
  std::string secret;
};

class GitLabSim {
 public:
  // Listens on 127.0.0.1 and serves from a thread of its own. Null, with a line on stderr, if a port is taken.
  static std::unique_ptr<GitLabSim> Start(Options options = {});
  // Closes all connections and joins the thread. Requests that wait in a delay are dropped, not acted on.
  ~GitLabSim();
  GitLabSim(const GitLabSim&) = delete;
  GitLabSim& operator=(const GitLabSim&) = delete;

  std::string url() const;             // http://127.0.0.1:<port>, without a final slash.
  std::string management_url() const;  // The same for the management port.

  // --- Seeding. Ids are returned; a duplicate name or a missing parent aborts the test.
  int64_t AddUser(const UserSeed& seed);
  int64_t AddGroup(const GroupSeed& seed);
  int64_t AddProject(const ProjectSeed& seed);
  // Access levels as GitLab's numbers: 10, 15, 20, 30, 40, 50.
  void AddProjectMember(int64_t project_id, int64_t user_id, int access_level);
  void RemoveProjectMember(int64_t project_id, int64_t user_id);
  void AddGroupMember(int64_t group_id, int64_t user_id, int access_level);
  SeededToken AddToken(const TokenSeed& seed);
  // Moves a project; the old path answers redirects (GET) and 405 (other methods) until it is taken again.
  void MoveProject(int64_t project_id, const std::string& new_full_path);
  void DeleteProject(int64_t project_id);
  void BlockUser(int64_t user_id, bool blocked);
  void SetAdmin(int64_t user_id, bool admin);
  // Revokes as a person in the web interface would, without a request.
  void RevokeToken(int64_t token_id);

  Settings settings() const;
  void set_settings(const Settings& settings);

  // --- Looking.
  std::vector<TokenView> Tokens() const;      // All, by id.
  std::vector<TokenView> LiveTokens() const;  // Neither revoked nor expired, seeded ones included.
  std::vector<TokenView> TokensNamed(const std::string& part) const;  // Name contains `part`.
  std::vector<SeenRequest> Requests() const;                          // In the order of arrival.
  void ClearRequests();
  // How many arrived with this method, a path in which `path_regex` is found, and `marker` in body or target.
  // Empty arguments match everything.
  int CountRequests(const std::string& method, const std::string& path_regex, const std::string& marker = "") const;
  // Waits until CountRequests(...) >= count; false after `timeout`.
  bool WaitForRequests(int count, const std::string& method, const std::string& path_regex,
                       std::chrono::milliseconds timeout = std::chrono::seconds(10)) const;
  // "GET /api/v4/..." of each request that no route knew (answered 501). A test should end with this empty.
  std::vector<std::string> UnknownRoutes() const;
  int OpenConnections() const;

  // --- Faults. Planned ones are used in the order planned; per request they come as X-Sim-... headers.
  void Plan(Fault fault);
  void ClearFaults();
  int PendingFaults() const;  // Planned ones that have not been used up.

  // --- Clock: the machine's wall clock plus an offset.
  TimePoint Now() const;
  void AdvanceClock(std::chrono::milliseconds by);
  void SetClock(TimePoint now);

 private:
  class Impl;
  explicit GitLabSim(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tokenbroker::gitlab_sim
