#pragma once
// What the reconciler reports and does not touch.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "server/domain/target.h"
#include "server/ledger/ledger.h"

namespace tokenbroker {

// A target of ACTIVE tokens that is elsewhere now, or gone. Tokens are judged by where it was.
struct MovedTarget {
  ResolvedTarget target;  // As the rows have it.
  std::string path;       // Where it is; empty: GitLab does not find it.
};

// A page of unknown tokens, and the targets that have moved.
struct Findings {
  // When the newest pass over GitLab's lists began; std::nullopt: none has ended yet, in this process or before.
  std::optional<WallTime> walk_time;
  std::map<std::int64_t, UnknownToken> unknown;  // By upstream id.
  std::int64_t total = 0;                        // Unknown tokens in all.
  bool has_more = false;                         // There are further ones behind the last.
  std::vector<MovedTarget> moved;
};

}  // namespace tokenbroker
