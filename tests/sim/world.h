#pragma once
// One run: brokers, callers, GitLab, network, disks and clocks, all played by one number on one thread. The same number
// gives the same run, to the byte of its trace.

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/planted.h"
#include "tests/sim/server.h"

namespace tokenbroker::sim {

struct RunResult {
  std::vector<std::string> wrong;  // Each with the virtual time at which it was seen.
  std::set<std::string> reached;   // States of rows, and answers that callers got.
  std::string trace;               // What happened, a line each, if it was asked for.
};

RunResult RunOnce(Lab& lab, std::uint64_t seed, Plant plant, bool with_trace, Also also = {});

}  // namespace tokenbroker::sim
