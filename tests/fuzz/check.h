#pragma once
// What a fuzz target does when a promise does not hold.

#include <cstdio>
#include <cstdlib>
#include <string>

namespace tokenbroker::fuzz {

// Ends the process, which the fuzzer takes for a finding.
inline void Check(bool holds, const std::string& promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise.c_str());
  std::abort();
}

}  // namespace tokenbroker::fuzz
