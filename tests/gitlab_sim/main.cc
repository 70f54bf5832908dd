// gitlab_sim: the simulator as a program, for quickstarts, interoperability tests and hands. Prints one line of JSON
// when it is ready and serves until SIGINT or SIGTERM.
#include <signal.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <random>
#include <sstream>
#include <string>

#include "CLI/CLI.hpp"
#include "nlohmann/json.hpp"
#include "tests/gitlab_sim/gitlab_sim.h"
#include "tests/gitlab_sim/management.h"

namespace tokenbroker::gitlab_sim {
namespace {

struct Flags {
  Options options;
  std::string seed_file;
  std::string admin_token_file;
  bool quickstart = false;
};

// The first line of a file; empty if there is none.
std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// An administrator, a user, and a private project that the user may read.
bool SeedQuickstart(GitLabSim* sim, const Flags& flags, nlohmann::json* ready) {
  const std::string secret = FirstLine(flags.admin_token_file);
  if (secret.empty()) {
    std::fprintf(stderr, "gitlab_sim: no token in '%s' (--admin-token-file)\n", flags.admin_token_file.c_str());
    return false;
  }
  if (flags.options.git_root.empty()) {
    std::fprintf(stderr, "gitlab_sim: --quickstart needs --git-root\n");
    return false;
  }
  const std::string project_path = "acme/payments";
  const int64_t root = sim->AddUser({.username = "root", .name = "Administrator", .admin = true});
  const int64_t user = sim->AddUser({.username = "demo-user", .name = "Demo User"});
  sim->AddGroup({.full_path = "acme"});
  const int64_t project = sim->AddProject({.full_path = project_path, .repository = true});
  sim->AddProjectMember(project, user, 30);
  TokenSeed token;
  token.user_id = root;
  token.name = "broker";
  token.scopes = {"api"};
  token.secret = secret;
  sim->AddToken(token);
  (*ready)["admin_user_id"] = root;
  (*ready)["user_id"] = user;
  (*ready)["username"] = "demo-user";
  (*ready)["project_id"] = project;
  (*ready)["project_path"] = project_path;
  (*ready)["clone_url"] = sim->url() + "/" + project_path + ".git";
  return true;
}

// {"requests":[{"path":"/users","body":{...}}, ...]}: calls of the management port, in order.
bool SeedFromFile(GitLabSim* sim, const std::string& path) {
  std::ifstream file(path);
  const nlohmann::json seeds = nlohmann::json::parse(file, nullptr, false);
  if (!seeds.is_object() || !seeds.contains("requests")) {
    std::fprintf(stderr, "gitlab_sim: '%s' is not a seed file\n", path.c_str());
    return false;
  }
  for (const auto& call : seeds["requests"]) {
    const HttpRequest request{
        .method = "POST", .target = call.value("path", ""), .headers = {}, .body = call["body"].dump()};
    const HttpResponse response = Manage(*sim, request);
    if (response.status == 200) continue;
    std::fprintf(stderr, "gitlab_sim: %s: %s: %s\n", path.c_str(), request.target.c_str(), response.body.c_str());
    return false;
  }
  return true;
}

int Run(Flags flags) {
  // Held back before any thread starts, so that only sigwait below sees them.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  std::random_device random;
  flags.options.seed = (static_cast<uint64_t>(random()) << 32U) | random();
  const std::unique_ptr<GitLabSim> sim = GitLabSim::Start(flags.options);
  if (sim == nullptr) return 1;
  nlohmann::json ready = {
      {"url", sim->url()}, {"management_url", sim->management_url()}, {"version", flags.options.version}};
  if (flags.quickstart && !SeedQuickstart(sim.get(), flags, &ready)) return 1;
  if (!flags.seed_file.empty() && !SeedFromFile(sim.get(), flags.seed_file)) return 1;
  std::printf("%s\n", ready.dump().c_str());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&ends, &signal);
  return 0;
}

}  // namespace
}  // namespace tokenbroker::gitlab_sim

int main(int argc, char** argv) try {
  tokenbroker::gitlab_sim::Flags flags;
  CLI::App app("A simulated GitLab for tests and demonstrations, on loopback only.");
  app.add_option("--port", flags.options.port, "API and Git port; 0 takes any free one");
  app.add_option("--management-port", flags.options.management_port, "management port; 0 takes any free one");
  app.add_option("--version", flags.options.version, "GitLab version to behave as: 17.11.7, 18.11.5, 19.0.2");
  app.add_option("--git-root", flags.options.git_root, "existing folder for bare repositories");
  app.add_option("--external-url", flags.options.external_url, "the URL that GitLab believes to have");
  app.add_option("--seed-file", flags.seed_file, "JSON with calls of the management port");
  app.add_flag("--quickstart", flags.quickstart, "an administrator, a user and a private project with a repository");
  app.add_option("--admin-token-file", flags.admin_token_file, "the administrator's token, for --quickstart");
  CLI11_PARSE(app, argc, argv);
  return tokenbroker::gitlab_sim::Run(flags);
} catch (const std::exception& error) {
  std::fprintf(stderr, "gitlab_sim: %s\n", error.what());
  return 1;
}
