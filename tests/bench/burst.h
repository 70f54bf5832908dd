#pragma once
// Many creates in flight at a time, against a GitLab that takes its time.

#include <chrono>
#include <vector>

#include "tests/bench/table.h"

namespace tokenbroker::bench {

// Begins `creates` calls at once while GitLab takes `gitlab_takes` for each POST. One that fails ends the process.
std::vector<Row> BurstRows(int creates, std::chrono::milliseconds gitlab_takes);

// Opens `connections` to the simulator (GITLAB_SIM, in a process of its own), all at a time, and asks it on each.
Row SimulatorRow(int connections);

}  // namespace tokenbroker::bench
