#pragma once
// How long something takes, and how many of it a second: the figures of a round, and the middle of several rounds.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace tokenbroker::bench {

using Clock = std::chrono::steady_clock;
using Span = std::chrono::duration<double>;  // Seconds.

struct Figures {
  double p50_us = 0;
  double p99_us = 0;
  double per_second = 0;
};

// Of operations that took `spans`, all of them within `whole`. All zero if there are none.
Figures FiguresOf(std::vector<Span> spans, Span whole);
// Each figure's median over the rounds: a machine that was busy with something else for a while does not show.
Figures MedianOf(const std::vector<Figures>& rounds);

// Tells that an operation has ended; `error` is empty if it went well. May be called on any thread.
using Done = std::function<void(std::string error)>;
// Begins an operation.
using Start = std::function<void(Done)>;

// Keeps `in_flight` operations going for `span` and waits for the last. One that fails ends the process: its figures
// would say nothing.
Figures KeepInFlight(int in_flight, Span span, const Start& start);

// Ends the process with this sentence.
[[noreturn]] void Fail(const std::string& why);

}  // namespace tokenbroker::bench
