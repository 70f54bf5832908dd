// Kills and stops a real broker between any two steps of what it does, while a simulated GitLab drops, delays, repeats
// and cuts its answers and applies requests late; then lets time pass and compares what lives at GitLab with the
// ledger:
//   I1  every live token that bears the broker's marker has a row;
//   I2  none of them has a row in REVOKED or EXPIRED;
//   I3  a revocation that was acknowledged never leads back to ACTIVE;
//   I4  in quiet, what lives is exactly what is ACTIVE;
// and that what was handed out lives until its time, that nothing of what GitLab applied within `settle` outlives the
// look at `settle`, and that a caller never hears UNAVAILABLE once a POST has left.
//
//   crash_test --runs 100 --seed 1      runs 1 to 100
//   crash_test --runs 1 --seed 17       run 17 again
//
// The broker is //tests/crash:crashing_broker: the wiring of the shipped one, between whose rooms stand a clock that
// this harness moves (nobody ever waits for real), and crash points on both sides of each verb of its ports. A run is
// drawn from its number: scenario.h. Its first crash is at the point whose turn it is, so that as many runs as there
// are points visit all; a point that no crash has struck fails the test, from that many runs on.

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/crash/control.h"
#include "tests/crash/run.h"
#include "tests/crash/scenario.h"

namespace tokenbroker {
namespace {

int Main(int argc, char** argv) {
  CLI::App app("Crashes a broker and looks for what is lost.");
  std::uint64_t runs = 100, seed = 1;
  std::string broker = "tests/crash/crashing_broker", plant = "none";
  app.add_option("--runs", runs, "How many runs");
  app.add_option("--seed", seed, "The number of the first run");
  app.add_option("--broker", broker, "The program crashing_broker");
  app.add_option("--plant", plant, "Plants a fault, see planted.h, and ends with 0 at the first difference");
  CLI11_PARSE(app, argc, argv);

  const auto began = std::chrono::steady_clock::now();
  std::array<int, kPointCount> hits{};
  std::uint64_t played = 0, differences = 0;
  for (std::uint64_t number = seed; number < seed + runs; ++number) {
    const Scenario scenario = Draw(number);
    const Outcome outcome = Play(scenario, broker, plant);
    ++played;
    for (const std::size_t point : outcome.struck_at) ++hits[point];
    differences += outcome.differences.size();
    if (outcome.differences.empty()) continue;
    std::printf("--seed %llu --runs 1: %s: %s\n", static_cast<unsigned long long>(number),
                outcome.differences.front().c_str(), Describe(scenario).c_str());
    std::fflush(stdout);
    if (plant != "none") break;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::size_t hit = 0;
  for (std::size_t i = 0; i < kPointCount; ++i) {
    hit += hits[i] > 0 ? 1 : 0;
    std::printf("%6d  %s\n", hits[i], std::string(kPoints[i]).c_str());
  }
  const bool all_hit = hit == kPointCount || played < kPointCount;
  if (!all_hit) std::printf("%zu points were never hit\n", kPointCount - hit);
  std::printf("%.2f runs/s\n", static_cast<double>(played) / took.count());
  std::printf("%llu runs, %zu crash points hit, %llu differences\n", static_cast<unsigned long long>(played), hit,
              static_cast<unsigned long long>(differences));
  if (plant != "none") return differences > 0 ? 0 : 1;
  return differences == 0 && all_hit ? 0 : 1;
}

}  // namespace
}  // namespace tokenbroker

int main(int argc, char** argv) { return tokenbroker::Main(argc, argv); }
