#include "tests/gitlab_sim/gitlab_sim.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <regex>
#include <utility>

#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/git_access.h"
#include "tests/gitlab_sim/management.h"
#include "tests/gitlab_sim/server.h"

namespace tokenbroker::gitlab_sim {
namespace {

using std::chrono::milliseconds;

// Ten thousand connections need as many descriptors; the soft limit is often 1,024.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

TokenView ViewOf(const State& state, const Token& token) {
  TokenView out;
  out.id = token.id;
  out.name = token.name;
  out.description = token.description;
  out.user_id = token.user_id;
  out.scopes = token.scopes;
  out.created_at = token.created_at;
  if (token.expires_at) out.expires_at = DateText(*token.expires_at);
  out.last_used_at = token.last_used_at;
  out.revoked = token.revoked;
  out.live = token.ActiveAt(state.Now());
  out.previous_id = token.previous_id;
  out.secret = token.secret;
  const auto owner = state.users().find(token.user_id);
  if (owner != state.users().end()) {
    out.owner_kind = owner->second.kind;
    if (owner->second.kind == UserKind::kProjectBot && owner->second.provisioned_by) {
      const Resource resource = *owner->second.provisioned_by;
      out.resource_type = resource.kind == ResourceKind::kProject ? "project" : "group";
      out.resource_id = resource.id;
      out.access_level = state.DirectLevel(resource, token.user_id);
    }
  }
  return out;
}

}  // namespace

class GitLabSim::Impl : public Server {
 public:
  using Server::Server;
  std::string url;
  std::string management_url;
};

std::unique_ptr<GitLabSim> GitLabSim::Start(Options options) {
  RaiseDescriptorLimit();
  const uint16_t wanted = options.port;
  const uint16_t wanted_management = options.management_port;
  std::unique_ptr<GitLabSim> sim(new GitLabSim(std::make_unique<Impl>(std::move(options))));
  Impl& impl = *sim->impl_;
  const uint16_t port = impl.loop.Listen(wanted, [&impl](HttpRequest request, const std::shared_ptr<Reply>& reply) {
    impl.Serve(std::move(request), reply);
  });
  const uint16_t management = impl.loop.Listen(
      wanted_management,
      [raw = sim.get()](const HttpRequest& request, const auto& reply) { reply->Send(Manage(*raw, request)); });
  if (port == 0 || management == 0) {
    std::fprintf(stderr, "gitlab_sim: cannot listen on 127.0.0.1:%d\n", port == 0 ? wanted : wanted_management);
    return nullptr;
  }
  impl.url = "http://127.0.0.1:" + std::to_string(port);
  impl.management_url = "http://127.0.0.1:" + std::to_string(management);
  impl.model.set_base_url(impl.options().external_url.empty() ? impl.url : impl.options().external_url);
  impl.loop.Start();
  return sim;
}

GitLabSim::GitLabSim(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

GitLabSim::~GitLabSim() { impl_->loop.Stop(); }

std::string GitLabSim::url() const { return impl_->url; }
std::string GitLabSim::management_url() const { return impl_->management_url; }

int64_t GitLabSim::AddUser(const UserSeed& seed) {
  const std::lock_guard lock(impl_->mutex);
  return impl_->model.state().AddUser(seed).id;
}

int64_t GitLabSim::AddGroup(const GroupSeed& seed) {
  const std::lock_guard lock(impl_->mutex);
  return impl_->model.state().AddGroup(seed).id;
}

int64_t GitLabSim::AddProject(const ProjectSeed& seed) {
  const std::lock_guard lock(impl_->mutex);
  const int64_t id = impl_->model.state().AddProject(seed).id;
  if (seed.repository && !MakeRepository(impl_->options().git_root, id, seed.full_path)) {
    std::fprintf(stderr, "gitlab_sim: git could not make a repository under '%s'\n", impl_->options().git_root.c_str());
    std::abort();
  }
  return id;
}

void GitLabSim::AddProjectMember(int64_t project_id, int64_t user_id, int access_level) {
  const std::lock_guard lock(impl_->mutex);
  impl_->model.state().SetMember({ResourceKind::kProject, project_id}, user_id, access_level);
}

void GitLabSim::RemoveProjectMember(int64_t project_id, int64_t user_id) {
  const std::lock_guard lock(impl_->mutex);
  impl_->model.state().RemoveMember({ResourceKind::kProject, project_id}, user_id);
}

void GitLabSim::AddGroupMember(int64_t group_id, int64_t user_id, int access_level) {
  const std::lock_guard lock(impl_->mutex);
  impl_->model.state().SetMember({ResourceKind::kGroup, group_id}, user_id, access_level);
}

SeededToken GitLabSim::AddToken(const TokenSeed& seed) {
  const std::lock_guard lock(impl_->mutex);
  const Token& token = impl_->model.state().AddToken(seed);
  return {.id = token.id, .secret = token.secret};
}

void GitLabSim::MoveProject(int64_t project_id, const std::string& new_full_path) {
  const std::lock_guard lock(impl_->mutex);
  impl_->model.state().MoveProject(project_id, new_full_path);
}

void GitLabSim::DeleteProject(int64_t project_id) {
  const std::lock_guard lock(impl_->mutex);
  impl_->model.state().DeleteProject(project_id);
}

void GitLabSim::BlockUser(int64_t user_id, bool blocked) {
  const std::lock_guard lock(impl_->mutex);
  if (User* user = impl_->model.state().FindUser(user_id)) user->blocked = blocked;
}

void GitLabSim::SetAdmin(int64_t user_id, bool admin) {
  const std::lock_guard lock(impl_->mutex);
  if (User* user = impl_->model.state().FindUser(user_id)) user->admin = admin;
}

void GitLabSim::RevokeToken(int64_t token_id) {
  const std::lock_guard lock(impl_->mutex);
  if (Token* token = impl_->model.state().FindToken(token_id)) impl_->model.state().Revoke(token);
}

Settings GitLabSim::settings() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->model.state().settings();
}

void GitLabSim::set_settings(const Settings& settings) {
  const std::lock_guard lock(impl_->mutex);
  impl_->model.state().settings() = settings;
}

std::vector<TokenView> GitLabSim::Tokens() const { return TokensNamed(""); }

std::vector<TokenView> GitLabSim::LiveTokens() const {
  std::vector<TokenView> out = Tokens();
  out.erase(std::remove_if(out.begin(), out.end(), [](const TokenView& token) { return !token.live; }), out.end());
  return out;
}

std::vector<TokenView> GitLabSim::TokensNamed(const std::string& part) const {
  const std::lock_guard lock(impl_->mutex);
  const State& state = impl_->model.state();
  std::vector<TokenView> out;
  for (const auto& [id, token] : state.tokens()) {
    if (token.name.find(part) != std::string::npos) out.push_back(ViewOf(state, token));
  }
  return out;
}

std::vector<SeenRequest> GitLabSim::Requests() const {
  const std::lock_guard lock(impl_->mutex);
  return {impl_->requests.begin(), impl_->requests.end()};
}

void GitLabSim::ClearRequests() {
  const std::lock_guard lock(impl_->mutex);
  impl_->first_request += impl_->requests.size();
  impl_->requests.clear();
}

int GitLabSim::CountRequests(const std::string& method, const std::string& path_regex,
                             const std::string& marker) const {
  const std::regex path(path_regex);
  const std::lock_guard lock(impl_->mutex);
  return static_cast<int>(
      std::count_if(impl_->requests.begin(), impl_->requests.end(),
                    [&](const SeenRequest& request) { return Impl::Fits(request, method, path, marker); }));
}

bool GitLabSim::WaitForRequests(int count, const std::string& method, const std::string& path_regex,
                                milliseconds timeout) const {
  const std::regex path(path_regex);
  std::unique_lock lock(impl_->mutex);
  size_t next = impl_->first_request;  // Each request is looked at once.
  int found = 0;
  return impl_->arrived.wait_for(lock, timeout, [&] {
    for (next = std::max(next, impl_->first_request); next < impl_->first_request + impl_->requests.size(); ++next) {
      if (Impl::Fits(impl_->requests[next - impl_->first_request], method, path, "")) ++found;
    }
    return found >= count;
  });
}

std::vector<std::string> GitLabSim::UnknownRoutes() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->model.unknown_routes();
}

int GitLabSim::OpenConnections() const { return impl_->loop.open_connections(); }

void GitLabSim::Plan(Fault fault) {
  const std::lock_guard lock(impl_->mutex);
  impl_->faults.Add(std::move(fault));
}

void GitLabSim::ClearFaults() {
  const std::lock_guard lock(impl_->mutex);
  impl_->faults.Clear();
}

int GitLabSim::PendingFaults() const {
  const std::lock_guard lock(impl_->mutex);
  return static_cast<int>(impl_->faults.pending());
}

TimePoint GitLabSim::Now() const { return impl_->Now(); }

void GitLabSim::AdvanceClock(milliseconds by) { impl_->MoveClock(by); }

void GitLabSim::SetClock(TimePoint now) { impl_->MoveClock(now - impl_->Now()); }

}  // namespace tokenbroker::gitlab_sim
