// Git over HTTP: who may fetch and push, decided without any I/O, and the call of git's own server program.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/gitlab_sim/process.h"
#include "tests/gitlab_sim/state.h"
#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

// Whether a path is one of Git's: /<full path>.git/info/refs, /git-upload-pack, /git-receive-pack.
bool IsGitPath(const std::string& path);

struct GitDecision {
  std::optional<HttpResponse> refusal;
  int64_t project_id = 0;
  std::string rest;      // "/info/refs"
  std::string username;  // Of the token's owner; empty for a public project without a credential.
};

// GitLab's rules: Basic with any user name and the token as password; 401 for whatever is no live token; scopes, then
// roles.
GitDecision DecideGit(State* state, const HttpRequest& request);

// git http-backend, for a request that was allowed.
Command BackendCommand(const std::string& git_root, const GitDecision& decision, const HttpRequest& request);
// What it printed, as a response.
HttpResponse ParseBackend(const CommandResult& result);

// A bare repository with one commit on `main`. False if git failed.
bool MakeRepository(const std::string& git_root, int64_t project_id, const std::string& full_path);

}  // namespace tokenbroker::gitlab_sim
