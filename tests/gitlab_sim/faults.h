// The plan of what goes wrong: faults in the order planned, and those that a request brings along.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <regex>
#include <string>

#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

// "act-then-close" and so on; nothing for an unknown name.
std::optional<Fault::Action> ActionNamed(const std::string& name);
// "too-many-requests", "html-error" ...: the factories of Fault by name; nothing for an unknown one.
// `number` is their one argument: seconds of Retry-After, a status, or milliseconds.
std::optional<Fault> PresetNamed(const std::string& name, int number);

// The fault that a request brings along in X-Sim-... headers, if it does:
// X-Sim-Fault (a preset) with X-Sim-Number, X-Sim-Action, X-Sim-Delay-Before-Ms, X-Sim-Delay-After-Ms,
// X-Sim-Act-Later-Ms, X-Sim-Body-Time-Ms, X-Sim-Status, X-Sim-Content-Type, X-Sim-Body.
std::optional<Fault> FaultInHeaders(const Headers& headers);

// Fills in RateLimit-Reset, RateLimit-ResetTime by the clock, where a canned answer has RateLimit-Limit.
void CompleteRateLimit(TimePoint now, Headers* headers);

class FaultPlan {
 public:
  void Add(Fault fault);
  // The first that matches, one of its times taken.
  std::optional<Fault> Take(const HttpRequest& request);
  void Clear() { planned_.clear(); }
  size_t pending() const { return planned_.size(); }

 private:
  struct Planned {
    Fault fault;
    std::regex path;
  };
  std::deque<Planned> planned_;
};

}  // namespace tokenbroker::gitlab_sim
