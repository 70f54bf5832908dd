#pragma once
// How many tokens a caller may have, and make, under one role.

namespace tokenbroker {

// 0: no limit.
struct QuotaLimits {
  int max_active = 0;          // Tokens that live, or of which nobody can say yet that they do not.
  int creates_per_minute = 0;  // Attempts within any 60 s, whatever became of them.

  bool operator==(const QuotaLimits&) const = default;
};

}  // namespace tokenbroker
