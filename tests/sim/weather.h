#pragma once
// What can go wrong on the way to GitLab and at GitLab itself, for a while or for good.

#include <cstdint>
#include <optional>

#include "server/domain/target.h"

namespace tokenbroker::sim {

// One target whose routes do not work, while everything else at GitLab does.
struct TroubledTarget {
  enum class How {
    kHangs,      // No response: reads end at their deadline, changes after a minute.
    kFails,      // 500.
    kRejects,    // 403.
    kListFails,  // 500, for lists alone.
  };
  TargetKind kind = TargetKind::kProject;
  std::int64_t id = 0;
  How how = How::kHangs;

  bool Is(const ResolvedTarget& target) const { return target.kind == kind && target.id == id; }
};

// Numbers: how often in a hundred.
struct Weather {
  bool down = false;            // No connection can be made.
  bool project_hidden = false;  // The credential has lost its membership: 404 for whatever belongs to a project.
  int refused = 0;              // GitLab rejects it.
  int lost = 0;                 // The request or its response.
  int late = 0;                 // A POST is carried out after its response was given up: after up to two hours.
  int twice = 0;                // Something on the way sends a POST again.
  int slow = 0;                 // The response takes up to a minute.
  int wrong = 0;                // A 201 that is not what was asked for.
  int in_front = 0;             // Something in front of GitLab responds, in the place of GitLab, without its mark.
  int redirected = 0;           // GitLab itself redirects.
  int limited = 0;              // 429, with GitLab's mark or without, and any Retry-After.
  bool holders_rotate = false;  // Whoever holds a self-extending token uses it between our DELETE and our list.
  std::optional<TroubledTarget> troubled;
};

// What a run draws on demand only.
struct Also {
  bool load = false;      // The gale's caller has much to do, see gale.h.
  bool list_lag = false;  // Lists come from a replica that is up to a minute behind.
};

}  // namespace tokenbroker::sim
