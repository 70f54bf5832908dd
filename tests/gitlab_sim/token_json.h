// The JSON objects of access tokens.
#pragma once

#include <optional>
#include <string>

#include "tests/gitlab_sim/state.h"

namespace tokenbroker::gitlab_sim {

struct TokenFields {
  bool last_used_ips = false;          // `self` and get by id, from 18.11 on.
  bool secret = false;                 // Create and rotate alone.
  std::optional<Resource> resource{};  // Project and group tokens.
  int access_level = 0;                // With `resource`.
  bool impersonation = false;
};

std::string TokenJson(const State& state, const Token& token, const TokenFields& fields);

}  // namespace tokenbroker::gitlab_sim
