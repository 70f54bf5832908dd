// The table of API routes. Each room of the API gives its own part; the model joins them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/gitlab_sim/call.h"
#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

enum class ScopeRule {
  kApi,         // `api`, and `read_api` for GET.
  kUsers,       // `read_user` for GET beside them.
  kSelfRotate,  // `api` or `self_rotate`.
  kAny,         // Whatever the token has.
};

struct Route {
  std::string method;
  std::string pattern;  // Below /api/v4: "/users/:user_id/personal_access_tokens".
  HttpResponse (*handler)(Call& call);
  ScopeRule scopes = ScopeRule::kApi;
  bool admin_only = false;         // 403 before the parameters are looked at.
  bool anonymous_allowed = false;  // A call without a credential reaches the handler.
};

std::vector<Route> PersonalAccessTokenRoutes();
std::vector<Route> ResourceAccessTokenRoutes();
std::vector<Route> ServiceAccountRoutes();
std::vector<Route> ImpersonationTokenRoutes();
std::vector<Route> UserRoutes();
std::vector<Route> TargetRoutes();
std::vector<Route> InstanceRoutes();

// A path's segments: "/a/b" is {"a", "b"}.
std::vector<std::string> SegmentsOf(const std::string& path);
// Whether the segments fit those of a pattern, of which `:name` takes anything that is not empty.
bool MatchesPattern(const std::vector<std::string>& pattern, const std::vector<std::string>& path);

}  // namespace tokenbroker::gitlab_sim
