// The rules of the token's model: what every way of creating and rotating a token obeys.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tests/gitlab_sim/params.h"
#include "tests/gitlab_sim/state.h"

namespace tokenbroker::gitlab_sim {

struct TokenRequest {
  std::string name;
  std::vector<std::string> scopes;
  std::optional<std::chrono::sys_days> expires_at;
  std::optional<std::string> description;
};

// Reads name, scopes, expires_at and description as Grape validates them.
TokenRequest ReadTokenRequest(const State& state, ParamChecks* checks, const std::vector<std::string>& allowed_scopes,
                              bool commas);

// The model's refusals, one sentence each; empty if there are none.
std::vector<std::string> TokenProblems(const State& state, const TokenRequest& request, bool expiry_enforced);

// "A", "A and B", "A, B, and C".
std::string Sentence(const std::vector<std::string>& parts);

// Makes the token. Without a date it gets the latest one, where expiry is enforced, and none where not.
Token& MakeToken(State* state, int64_t user_id, const TokenRequest& request, bool expiry_enforced);

// Revokes the old token and makes its successor. The problems are those of TokenProblems; then nothing has changed.
struct RotateResult {
  Token* successor = nullptr;
  std::vector<std::string> problems;
};
RotateResult RotateToken(State* state, int64_t token_id, std::optional<std::chrono::sys_days> expires_at,
                         bool expiry_enforced);

}  // namespace tokenbroker::gitlab_sim
