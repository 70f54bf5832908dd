// dev/sim: runs the simulation for a range of seeds and says what it found. A seed that fails is a way to see it again:
// `--seeds N..N --trace`.
//
// A run has one or two brokers, up to five jobs of three callers (two of them with quotas) on two users and two
// projects, and an administrator's credential, a maintainer's, or one whose rights change. Drawn are: deaths between
// any two steps, power cuts, stops, disk faults, steps of the hosts' clocks and of GitLab's by hours; requests that
// are lost, slow, carried out late or twice; rejections, redirects, 429, and responses of something in front of GitLab,
// successes among them, with a Date of its own; 201s that are not what was asked for; a replica that lags by id; bots
// that lose their membership; holders who rotate, use or lose their token, and repeat their request all the same; one
// target whose routes hang, fail, reject or do not list for hours; and a gale (gale.h): a target hangs, and nobody else
// may feel it. On demand (`--also`): a caller who has much to do at the gale's target, and lists that lag.
//
// Checked are the invariants I1 to I4 by upstream id (invariants.h), and what is promised about time, use and numbers
// (promises.h): how late and how early a token ends, that a credential in use survives a repeat, that a target in
// trouble keeps no other from being compared with GitLab, and the quotas. Faults that a broker could have (planted.h)
// must be found: `--plant NAME` names the first seed that finds it.

#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/sim/world.h"

namespace tokenbroker::sim {
namespace {

struct Totals {
  std::mutex mutex;
  std::atomic<std::uint64_t> next{0};
  std::uint64_t last = 0;
  std::uint64_t runs = 0;
  std::uint64_t failed = 0;
  std::uint64_t first_failed = UINT64_MAX;
  std::uint64_t most_shown = 10;
  std::set<std::string> reached;
};

void RunSome(Totals& totals, Plant plant, bool trace, Also also) {
  Lab lab;
  for (std::uint64_t seed = totals.next++; seed <= totals.last; seed = totals.next++) {
    const RunResult result = RunOnce(lab, seed, plant, trace, also);
    const std::lock_guard lock(totals.mutex);
    ++totals.runs;
    totals.reached.insert(result.reached.begin(), result.reached.end());
    std::fputs(result.trace.c_str(), stdout);
    if (result.wrong.empty()) continue;
    totals.first_failed = std::min(totals.first_failed, seed);
    if (++totals.failed > totals.most_shown) continue;
    std::printf("seed %llu:\n", static_cast<unsigned long long>(seed));
    for (const std::string& each : result.wrong) std::printf("  %s\n", each.c_str());
    std::fflush(stdout);
  }
}

bool ParseSeeds(const std::string& text, std::uint64_t* first, std::uint64_t* last) {
  unsigned long long from = 0;
  unsigned long long to = 0;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%llu..%llu%c", &from, &to, &rest) != 2 || from > to) return false;
  *first = from;
  *last = to;
  return true;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Plays brokers, GitLab, network, disks and clocks from a seed, and checks the promises after every run.");
  std::string seeds = "1..1000";
  std::string plant_name;
  int jobs = 2;
  bool trace = false;
  std::vector<std::string> also_names;
  std::uint64_t show = 10;
  Totals totals;
  app.add_option("--seeds", seeds, "A..B, both included");
  app.add_option("--jobs", jobs, "Threads")->check(CLI::Range(1, 64));
  app.add_option("--show", show, "Print what so many seeds found at most");
  app.add_option("--also", also_names, "Draw this as well: load, list-lag")
      ->delimiter(',')
      ->check(CLI::IsMember({"load", "list-lag"}));
  app.add_flag("--trace", trace, "Print what happens; one thread");
  app.add_option("--plant", plant_name, "Plant a fault that must be found; 'list' names them");
  CLI11_PARSE(app, argc, argv);
  Plant plant = Plant::kNone;
  bool known = plant_name.empty();
  for (const auto& [each, name] : Plants()) {
    if (plant_name == "list") std::printf("%s\n", std::string(name).c_str());
    if (plant_name != name) continue;
    plant = each;
    known = true;
  }
  if (plant_name == "list") return 0;
  totals.most_shown = show;
  Also also;
  for (const std::string& each : also_names) {
    (each == "load" ? also.load : also.list_lag) = true;
  }
  std::uint64_t first = 0;
  if (!known || !ParseSeeds(seeds, &first, &totals.last)) {
    std::fputs("--seeds wants A..B with A <= B; --plant a name that --plant list shows\n", stderr);
    return 2;
  }
  totals.next = first;

  mallopt(M_MMAP_THRESHOLD, 1 << 30);  // The disks' memory is used again, instead of going back to the system.
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (int i = trace ? 1 : jobs; i > 0; --i) threads.emplace_back([&] { RunSome(totals, plant, trace, also); });
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;

  std::printf("reached:");
  for (const std::string& each : totals.reached) std::printf(" [%s]", each.c_str());
  std::printf("\n%llu runs in %.1f s (%.0f a second), %zu states and answers reached, %llu failed\n",
              static_cast<unsigned long long>(totals.runs), took.count(),
              static_cast<double>(totals.runs) / took.count(), totals.reached.size(),
              static_cast<unsigned long long>(totals.failed));
  if (plant != Plant::kNone && totals.failed > 0) {
    std::printf("%s: found by seed %llu first, after %llu seeds\n", plant_name.c_str(),
                static_cast<unsigned long long>(totals.first_failed),
                static_cast<unsigned long long>(totals.first_failed - first + 1));
  }
  return totals.failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace tokenbroker::sim

// NOLINTNEXTLINE(bugprone-exception-escape): one that nobody expects ends the process.
int main(int argc, char** argv) { return tokenbroker::sim::Main(argc, argv); }
