// Kills and stops a real broker between any two steps of what it does, while a simulated GitLab drops, delays, repeats
// and cuts its answers and applies requests late; then lets time pass and compares what lives at GitLab with the
// ledger:
//   I1  every live token that bears the broker's marker has a row;
//   I2  none of them has a row in REVOKED or EXPIRED;
//   I3  a revocation that was acknowledged never leads back to ACTIVE;
//   I4  in quiet, what lives is exactly what is ACTIVE;
// all of them by upstream id, where what a holder made of its token by rotating it belongs to that token's row; and
// that what was handed out lives until its time, that nothing of what GitLab applied within `settle` outlives the look
// at `settle`, that a request_id has one ACTIVE token, and that a caller never hears UNAVAILABLE from the broker once a
// POST has left.
//
//   dev/crash-test --runs 100 --seed 1      runs 1 to 100
//   dev/crash-test --runs 1 --seed 17       run 17 again
//
// The broker is crashing_broker.cc: the wiring of the shipped one, between whose rooms stand a clock that this harness
// moves, so that nobody ever waits for real, and crash points on both sides of each verb of its ports. It is SIGKILLed,
// and loses then what it has not synced as in a power cut, or stopped for longer than every timeout, and so is it at
// random times.
//
// Drawn as well: a maintainer's credential; a clock of GitLab's that differs by seconds or ten minutes; a replica that
// lags by id; responses of a proxy without GitLab's mark, successes among them, whose clock is ten days ahead; and
// tokens that may rotate themselves, with holders who do.
//
// A run is drawn from its number alone (scenario.h). Its first crash is at the point whose turn it is, so that as many
// runs as there are points visit each. A point at which no crash has struck by then has up to three runs more; if it is
// still missed, the test fails. Each planted fault of planted.h must be found: `--plant NAME` ends at the first
// difference, with 0.

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/crash/control.h"
#include "tests/crash/run.h"
#include "tests/crash/scenario.h"

namespace tokenbroker {
namespace {

struct Flags {
  std::uint64_t runs = 100;
  std::uint64_t seed = 1;
  unsigned jobs = 2;
  std::string broker = "tests/crash/crashing_broker";
  std::string plant = "none";
  bool print = false;
};

// Thread-safe.
class Tally {
 public:
  explicit Tally(const Flags& flags) : flags_(flags) {}

  void Play(std::uint64_t number) {
    const Scenario scenario = Draw(number);
    const Outcome outcome = tokenbroker::Play(scenario, flags_.broker, flags_.plant);
    const std::lock_guard lock(mutex_);
    ++runs_;
    for (const std::size_t point : outcome.struck_at) ++hits_[point];
    differences_ += outcome.differences.size();
    if (outcome.differences.empty() && !flags_.print) return;
    const std::string what = outcome.differences.empty() ? "no difference" : outcome.differences.front();
    std::printf("--seed %llu --runs 1: %s: %s\n", static_cast<unsigned long long>(number), what.c_str(),
                Describe(scenario).c_str());
    std::fflush(stdout);
  }

  bool hit(std::size_t point) const { return hits_[point] > 0; }
  std::size_t hit() const {
    std::size_t count = 0;
    for (const int hits : hits_) count += hits > 0 ? 1 : 0;
    return count;
  }
  std::uint64_t differences() const {
    const std::lock_guard lock(mutex_);
    return differences_;
  }

  void Print(std::chrono::duration<double> took) const {
    for (std::size_t i = 0; i < kPointCount; ++i) std::printf("%6d  %s\n", hits_[i], std::string(kPoints[i]).c_str());
    std::printf("%.2f runs/s\n", static_cast<double>(runs_) / took.count());
    std::printf("%llu runs, %zu crash points hit, %llu differences\n", static_cast<unsigned long long>(runs_), hit(),
                static_cast<unsigned long long>(differences_));
  }

 private:
  const Flags& flags_;
  mutable std::mutex mutex_;
  std::uint64_t runs_ = 0;
  std::uint64_t differences_ = 0;
  std::array<int, kPointCount> hits_{};
};

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Crashes a broker and looks for what is lost.");
  app.add_option("--runs", flags.runs, "How many runs");
  app.add_option("--seed", flags.seed, "The number of the first run");
  app.add_option("--jobs", flags.jobs, "How many runs at a time");
  app.add_option("--broker", flags.broker, "The program crashing_broker");
  app.add_option("--plant", flags.plant, "Plants a fault, see planted.h, and ends with 0 at the first difference");
  app.add_flag("--print", flags.print, "Prints every run's scenario");
  CLI11_PARSE(app, argc, argv);

  const auto began = std::chrono::steady_clock::now();
  const bool planted = flags.plant != "none";
  const std::uint64_t end = flags.seed + flags.runs;
  Tally tally(flags);
  std::atomic<std::uint64_t> next = flags.seed;
  const auto work = [&] {
    for (std::uint64_t number = next++; number < end; number = next++) {
      tally.Play(number);
      if (planted && tally.differences() > 0) return;
    }
  };
  std::vector<std::thread> workers;
  for (unsigned i = 0; i < flags.jobs; ++i) workers.emplace_back(work);
  for (std::thread& worker : workers) worker.join();
  const bool each_had_its_turn = !planted && flags.runs >= kPointCount;
  for (std::size_t point = 0; each_had_its_turn && point < kPointCount; ++point) {
    std::uint64_t number = end + (point + kPointCount - end % kPointCount) % kPointCount;
    for (int more = 0; more < 3 && !tally.hit(point); ++more, number += kPointCount) tally.Play(number);
  }
  tally.Print(std::chrono::steady_clock::now() - began);
  if (planted) return tally.differences() > 0 ? 0 : 1;
  return tally.differences() == 0 && (!each_had_its_turn || tally.hit() == kPointCount) ? 0 : 1;
}

}  // namespace
}  // namespace tokenbroker

// NOLINTNEXTLINE(bugprone-exception-escape): one that nobody expects ends the process.
int main(int argc, char** argv) { return tokenbroker::Main(argc, argv); }
