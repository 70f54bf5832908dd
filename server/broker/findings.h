#pragma once
// What the reconciler reports and does not touch.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "server/domain/target.h"
#include "server/gitlab/gitlab.h"
#include "server/ledger/ledger.h"

namespace tokenbroker {

// A living token at GitLab that bears our tag and that no row explains.
struct UnknownToken {
  UpstreamToken upstream;
  TokenId marked;  // The id in its marker.
  StrangerKind kind = StrangerKind::kNoRow;
  WallTime found_time;

  // From the row with the marker's id, or from GitLab; what is empty is not known.
  std::optional<ResolvedTarget> target;
  std::string owner;
  std::string purpose;
  std::optional<WallTime> expire_time;

  // Whether it may become ACTIVE: not if its row has ended, since a revocation is never taken back; nor without a
  // target.
  bool adoptable() const { return kind != StrangerKind::kClosed && target.has_value(); }
};

// A target of ACTIVE tokens that is elsewhere now, or gone. Tokens are judged by where it was.
struct MovedTarget {
  ResolvedTarget target;  // As the rows have it.
  std::string path;       // Where it is; empty: GitLab does not find it.
};

struct Findings {
  std::optional<WallTime> walk_time;             // When the walk began that found this; nothing: none has ended yet.
  std::map<std::int64_t, UnknownToken> unknown;  // By upstream id.
  std::vector<MovedTarget> moved;
};

}  // namespace tokenbroker
