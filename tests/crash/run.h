#pragma once
// One run: its scenario, then a GitLab that is well and time that passes, and the comparison.

#include <cstddef>
#include <string>
#include <vector>

#include "tests/crash/scenario.h"

namespace tokenbroker {

struct Outcome {
  std::vector<std::size_t> struck_at;    // Points at which a crash struck.
  std::vector<std::string> differences;  // One sentence each.
};

Outcome Play(const Scenario& scenario, const std::string& broker, const std::string& plant);

}  // namespace tokenbroker
