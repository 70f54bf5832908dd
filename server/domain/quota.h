#pragma once
// How much one caller may have under one role.

#include <string>

namespace tokenbroker {

// What the ledger counts before it takes an intent in; 0 means without bound. The key is of caller and role: whatever
// is counted under it counts against every grant of that role.
struct QuotaLimits {
  int max_active = 0;          // Tokens that may be alive at a time, those whose end is still unknown included.
  int creates_per_minute = 0;  // Creates that may begin in a minute.
  std::string key;             // "caller/role"; empty if there is no bound.

  bool operator==(const QuotaLimits&) const = default;
};

}  // namespace tokenbroker
