// Projects and groups: how a route finds its target.
#pragma once

#include <optional>

#include "tests/gitlab_sim/call.h"
#include "tests/gitlab_sim/state.h"
#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

struct TargetResult {
  std::optional<HttpResponse> refusal;
  Resource resource;
};

// The target that the path parameter `id` names: an id if it is all digits, else the full path, not looking at case.
// Absent and invisible are one: 404. A project that was moved answers 301 to GET and 405 to the rest; a group that
// was renamed is just absent.
TargetResult FindTarget(Call& call, ResourceKind kind);

}  // namespace tokenbroker::gitlab_sim
