#include "tests/gitlab_sim/scopes.h"

namespace tokenbroker::gitlab_sim {

std::vector<std::string> BotTokenScopes(const Version& version) {
  std::vector<std::string> out = {"api",
                                  "read_api",
                                  "create_runner",
                                  "manage_runner",
                                  "k8s_proxy",
                                  "read_repository",
                                  "write_repository",
                                  "read_registry",
                                  "write_registry",
                                  "read_virtual_registry",
                                  "write_virtual_registry",
                                  "ai_features"};
  if (version.AtLeast(17, 9)) out.emplace_back("self_rotate");
  return out;
}

std::vector<std::string> PersonalTokenScopes(const Version& version) {
  std::vector<std::string> out = BotTokenScopes(version);
  for (const char* more : {"read_user", "sudo", "admin_mode", "read_service_ping"}) out.emplace_back(more);
  return out;
}

}  // namespace tokenbroker::gitlab_sim
