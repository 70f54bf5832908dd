#pragma once
// A token as it is to be, on the command line.

#include <string>
#include <vector>

#include "client/tokenctl/command.h"

namespace tokenbroker::tokenctl {

struct TokenOptions {
  std::string display_name, user, project, group, service_account, instance, purpose, access_level, expire_time;
  std::vector<std::string> scopes, labels;
  Duration ttl = hours(1);
};

// `options` must outlive the command. `required`: the command line must have a display name, a target and scopes.
void AddTokenOptions(CLI::App& command, TokenOptions& options, bool required = true);

// Only the target of them.
v1::Target TargetOf(const TokenOptions& options);

// Throws CLI::ValidationError for what cannot even be sent; what is sent, the broker judges.
v1::Token SpecOf(const TokenOptions& options);

}  // namespace tokenbroker::tokenctl
