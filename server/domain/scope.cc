#include "server/domain/scope.h"

#include <algorithm>
#include <array>
#include <utility>

#include "server/base/nearest.h"

namespace tokenbroker {
namespace {

constexpr std::array<std::string_view, 17> kScopes = {"admin_mode",
                                                      "ai_features",
                                                      "api",
                                                      "create_runner",
                                                      "k8s_proxy",
                                                      "manage_runner",
                                                      "read_api",
                                                      "read_registry",
                                                      "read_repository",
                                                      "read_service_ping",
                                                      "read_user",
                                                      "read_virtual_registry",
                                                      "self_rotate",
                                                      "sudo",
                                                      "write_registry",
                                                      "write_repository",
                                                      "write_virtual_registry"};

// GitLab checks whether a token has one of the scopes that an endpoint takes; an edge is here if its source makes every
// endpoint that takes the right-hand scope take the left-hand one. Not here, on purpose: api over k8s_proxy (the agent
// takes k8s_proxy alone), write_registry over read_registry (write gives push alone), and api over self_rotate (true at
// GitLab, but what can extend a token must be named).
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kEdges = {{
    {"api", "read_api"},
    {"api", "create_runner"},
    {"api", "manage_runner"},
    {"api", "ai_features"},
    {"api", "write_repository"},
    {"api", "write_registry"},
    {"read_api", "read_user"},
    {"read_api", "read_repository"},
    {"read_api", "read_registry"},
    {"write_repository", "read_repository"},
}};

// For denies, beside kEdges: where GitLab's documentation and its source disagree or are silent, the deny holds.
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kDenyEdges = {{
    {"api", "self_rotate"},
    {"api", "k8s_proxy"},
    {"api", "read_virtual_registry"},
    {"api", "write_virtual_registry"},
    {"read_api", "read_virtual_registry"},
    {"write_registry", "read_registry"},
    {"write_virtual_registry", "read_virtual_registry"},
}};

}  // namespace

std::span<const std::string_view> KnownScopes() { return kScopes; }

bool IsKnownScope(std::string_view scope) { return std::binary_search(kScopes.begin(), kScopes.end(), scope); }

std::string_view NearestScope(std::string_view scope) { return NearestWord(kScopes, scope); }

bool ScopeFits(std::string_view scope, TargetKind kind) {
  if (!IsKnownScope(scope)) return false;
  if (kind == TargetKind::kUser || kind == TargetKind::kServiceAccount) return true;
  return scope != "read_user" && !IsAdminScope(scope);
}

bool Implies(std::string_view held, std::string_view wanted) {
  if (held == wanted) return true;
  return std::any_of(kEdges.begin(), kEdges.end(),
                     [&](const auto& edge) { return edge.first == held && Implies(edge.second, wanted); });
}

bool AnyImplies(std::span<const std::string> held, std::string_view wanted) {
  return std::any_of(held.begin(), held.end(), [&](const std::string& each) { return Implies(each, wanted); });
}

bool Gives(std::string_view held, std::string_view wanted) {
  if (held == "sudo" || Implies(held, wanted)) return true;
  return std::any_of(kDenyEdges.begin(), kDenyEdges.end(),
                     [&](const auto& edge) { return edge.second == wanted && Implies(held, edge.first); });
}

bool IsSelfExtending(std::string_view scope) { return scope == "api" || scope == "self_rotate"; }

bool AnySelfExtending(std::span<const std::string> scopes) {
  return std::any_of(scopes.begin(), scopes.end(), [](const std::string& each) { return IsSelfExtending(each); });
}

bool IsAdminScope(std::string_view scope) {
  return scope == "sudo" || scope == "admin_mode" || scope == "read_service_ping";
}

bool IsAccessLevel(int level) {
  constexpr std::array<int, 7> kLevels = {10, 15, 20, 25, 30, 40, 50};
  return std::find(kLevels.begin(), kLevels.end(), level) != kLevels.end();
}

bool LevelCovers(int highest, int wanted) {
  if (!IsAccessLevel(highest) || !IsAccessLevel(wanted)) return false;
  if (highest == wanted || highest == 50) return true;
  const auto beside = [](int level) { return level == 15 || level == 25; };
  return !beside(highest) && !beside(wanted) && wanted < highest;
}

}  // namespace tokenbroker
