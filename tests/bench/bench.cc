// The broker's speed and size beside the floors of the same machine in the same run, as one table; dev/bench runs it.
// TOKENBROKERD, ECHO_SERVER and GITLAB_SIM name the programs; TEST_TMPDIR the folder to work in, on a disk.
//
// bench [--quick] [--rounds=N] [--seconds=S]: N rounds of S seconds for each kind of call. With --quick everything is
// small and short: it shows that the bench works, not how fast the broker is. Ends with 1 if anything failed or a row
// has no numbers; a target that is not met is no failure.

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/process.h"
#include "tests/bench/burst.h"
#include "tests/bench/caller_rows.h"
#include "tests/bench/memory_rows.h"
#include "tests/bench/served.h"
#include "tests/bench/side_by_side.h"
#include "tests/bench/table.h"

namespace tokenbroker::bench {
namespace {

struct Plan {
  int rounds = 7;
  Span span{1};
  int few_tokens = 1'000;
  int many_tokens = 1'000'000;
  int burst = 10'000;
  std::chrono::milliseconds gitlab_takes{1'000};
  int due = 100'000;
};

constexpr Plan kQuick = {1, Span(0.05), 1'000, 2'000, 200, std::chrono::milliseconds(100), 2'000};

void Say(const std::string& what) { std::fprintf(stderr, "bench: %s\n", what.c_str()); }

void Append(std::vector<Row>& rows, std::vector<Row> more) {
  for (Row& row : more) rows.push_back(std::move(row));
}

std::vector<Row> MeasureAll(const Plan& plan) {
  std::vector<Row> rows;
  {
    Say("filling ledgers");
    Served few({.tokens = plan.few_tokens});
    Served many({.tokens = plan.many_tokens});
    Append(rows, many.IdleRows());
    Served minting({});
    Say("calls and their floors, " + std::to_string(plan.rounds) + " rounds");
    Append(rows, SideBySide(minting, few, many, plan.rounds, plan.span));
  }
  Say("many creates in flight");
  Append(rows, BurstRows(plan.burst, plan.gitlab_takes));
  rows.push_back(SimulatorRow(plan.burst));
  Say("decisions and claims");
  Append(rows, PolicyRows(plan.span));
  Append(rows, CompileRows(plan.span));
  Append(rows, RecogniseRows(plan.span));
  rows.push_back(ClaimRow(plan.due, plan.span));
  return rows;
}

Plan PlanOf(const std::vector<std::string>& arguments) {
  Plan plan;
  for (const std::string& argument : arguments) {
    if (argument == "--quick") {
      plan = kQuick;
    } else if (argument.starts_with("--rounds=")) {
      plan.rounds = std::stoi(argument.substr(argument.find('=') + 1));
    } else if (argument.starts_with("--seconds=")) {
      plan.span = Span(std::stod(argument.substr(argument.find('=') + 1)));
    } else {
      Fail("unknown argument '" + argument + "'; there are --quick, --rounds=N and --seconds=S");
    }
  }
  return plan;
}

int Main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);  // The houses that the tests live in speak through it.
  PrepareForLoad();
  const std::vector<Row> rows = MeasureAll(PlanOf({argv + 1, argv + argc}));
  std::fputs(FormatTable(rows).c_str(), stdout);
  for (const Row& row : rows) {
    if (!HasNumbers(row)) Fail("no numbers: " + row.work);
  }
  return 0;
}

}  // namespace
}  // namespace tokenbroker::bench

int main(int argc, char** argv) { return tokenbroker::bench::Main(argc, argv); }
