#pragma once
// GitLab's scopes and access levels, and what implies what.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/domain/target.h"

namespace tokenbroker {

// Every scope that GitLab's documentation names for access tokens, sorted.
std::span<const std::string_view> KnownScopes();
bool IsKnownScope(std::string_view scope);
// The known scope nearest to a mistyped one; empty if none is near.
std::string_view NearestScope(std::string_view scope);

// Whether GitLab takes this scope for a token of this kind (project and group tokens cannot have read_user; the
// administrator's scopes are for users and service accounts).
bool ScopeFits(std::string_view scope, TargetKind kind);

// Whether holding `held` gives everything that `wanted` gives; every scope implies itself. Only what GitLab's own code
// makes certain: api over read_api over read_user, api over write_repository over read_repository, read_api over
// read_repository and read_registry, and a few more. api and self_rotate imply nothing that can extend a token: asking
// for self_rotate under a grant of api needs it named.
bool Implies(std::string_view held, std::string_view wanted);
bool AnyImplies(std::span<const std::string> held, std::string_view wanted);

// Returns true if a deny of `wanted` denies `held` too: a generous table for denies alone. Besides what Implies says it
// has what might reach the denied scope by GitLab's documentation or by a detour: api can make k8s_proxy and
// self_rotate tokens of its user and reaches the virtual registries, each write_registry might read, and sudo acts as
// any user.
bool Gives(std::string_view held, std::string_view wanted);

// api and self_rotate: with these a token can rotate itself, and so outlive its expire_time under a new id.
bool IsSelfExtending(std::string_view scope);
bool AnySelfExtending(std::span<const std::string> scopes);

// sudo, admin_mode, read_service_ping: never granted by a policy.
bool IsAdminScope(std::string_view scope);

// 10 Guest, 15 Planner, 20 Reporter, 25 Security Manager, 30 Developer, 40 Maintainer, 50 Owner.
bool IsAccessLevel(int level);
// Whether a grant up to `highest` covers `wanted`. 10 < 20 < 30 < 40 < 50 are a ladder; 15 and 25 stand beside it:
// Owner covers them, else only they themselves.
bool LevelCovers(int highest, int wanted);

}  // namespace tokenbroker
