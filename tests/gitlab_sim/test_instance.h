// For unit tests of the model: an instance with a few people and things, and a clock that stands still.
#pragma once

#include <string>

#include "tests/gitlab_sim/model.h"
#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

struct TestInstance {
  // It is 2026-06-24 12:00 UTC. `root` is an administrator; `maria` maintains, `dan` develops in and `olga` owns
  // acme/payments or its group; `zoe` is nobody there. Each has a token named after him or her, with scope `api`.
  explicit TestInstance(const std::string& version = "18.11.5");

  // The path is below /api/v4. A body, if any, is JSON.
  HttpResponse Call(const std::string& method, const std::string& path, const std::string& token,
                    const std::string& body = "");
  HttpResponse Get(const std::string& path, const std::string& token) { return Call("GET", path, token); }
  HttpResponse Post(const std::string& path, const std::string& token, const std::string& body) {
    return Call("POST", path, token, body);
  }
  HttpResponse Delete(const std::string& path, const std::string& token) { return Call("DELETE", path, token); }
  // A further token of a user, with these scopes; the secret is the name.
  int64_t AddToken(int64_t user_id, const std::string& name, const std::vector<std::string>& scopes,
                   const std::string& expires_at = "2026-12-31");

  TimePoint now;
  Model model;
  int64_t root, maria, dan, olga, zoe;
  int64_t group, project;
};

std::string Header(const HttpResponse& response, const std::string& name);  // Empty if it is not there.
// A field of a JSON object, as text; `[0].name` is written "0/name". Empty if it is not there.
std::string Field(const HttpResponse& response, const std::string& pointer);

}  // namespace tokenbroker::gitlab_sim
