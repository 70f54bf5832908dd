#pragma once
// Paths below /api/v4 and bodies of the requests to GitLab. Pure.

#include <string>

#include "server/gitlab/gitlab.h"

namespace tokenbroker {

// One segment of a path: the id, or the encoded path if there is none.
std::string SegmentOf(const ResolvedTarget& target);

// POST: makes a user's or a project's token.
std::string MintPath(const ResolvedTarget& target);
std::string MintBody(const MintSpec& spec);

// GET, DELETE: one token. `by_id`: on the route that shows every token to an administrator, else on the project's.
std::string TokenPath(const UpstreamRef& ref, bool by_id);

// GET: tokens, up to and including "page=". `by_project`: on the project's route, which knows no user_id.
std::string TokenListPath(const UpstreamQuery& query, bool by_project);

}  // namespace tokenbroker
