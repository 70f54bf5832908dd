#include "tests/bench/memory_rows.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "server/base/manual_loop.h"
#include "server/base/random.h"
#include "server/ledger/filled_ledger.h"
#include "server/ledger/sqlite_ledger.h"
#include "server/policy/policy.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker::bench {
namespace {

constexpr int kRules = 10'000;
constexpr int kFewRules = 10;
constexpr double kDecisionTargetUs = 2;

// Each rule grants one group's projects. "all" has every rule, "few" the last of them.
std::shared_ptr<const Policy> LargePolicy() {
  config::v1::Policy source;
  for (const char* name : {"all", "few"}) {
    config::v1::CallerRule& caller = *source.add_callers();
    caller.set_name(name);
    caller.add_identities()->set_spiffe("spiffe://test/" + std::string(name));
  }
  for (int i = 0; i < kRules; ++i) {
    const std::string group = "group" + std::to_string(i);
    config::v1::Grant& grant = *(*source.mutable_roles())[group].add_grants();
    grant.add_verbs("create");
    grant.add_targets()->set_project(group + "/*");
    grant.add_scopes("read_repository");
    grant.set_max_access_level(30);
    grant.set_max_ttl("8h");
    config::v1::Binding& binding = *source.add_bindings();
    binding.add_callers("all");
    if (i >= kRules - kFewRules) binding.add_callers("few");
    binding.add_roles(group);
  }
  absl::StatusOr<std::shared_ptr<const Policy>> policy = Policy::Compile(source, "bench", {});
  if (!policy.ok()) Fail("the large policy does not compile: " + policy.status().ToString());
  return *std::move(policy);
}

// What a Create asks of the policy: step 1 and step 2, for a target that the caller's last rule grants.
Figures Decide(const Policy& policy, const std::string& name, Span span) {
  const Caller caller = {name, "spiffe://test/" + name};
  const std::string path = "group" + std::to_string(kRules - 1) + "/payments";
  AccessRequest request;
  request.target = {"main", TargetKind::kProject, path};
  request.scopes = {"read_repository"};
  request.access_level = 20;
  request.ttl = hours(1);
  TargetFacts facts;
  facts.target = {"main", TargetKind::kProject, 7, path};
  constexpr int kInOneSpan = 10;  // One alone is short beside the reading of the clock.
  std::vector<Span> spans;
  const Clock::time_point began = Clock::now();
  while (Clock::now() - began < span) {
    const Clock::time_point now = Clock::now();
    for (int i = 0; i < kInOneSpan; ++i) {
      if (!policy.Decide(caller, request, facts).status.ok()) Fail("the large policy refuses what it grants");
    }
    spans.push_back((Clock::now() - now) / double{kInOneSpan});
  }
  Figures figures = FiguresOf(std::move(spans), Clock::now() - began);
  figures.per_second *= kInOneSpan;
  return figures;
}

}  // namespace

std::vector<Row> PolicyRows(Span span) {
  const std::shared_ptr<const Policy> policy = LargePolicy();
  const Figures few = Decide(*policy, "few", span);
  const Figures all = Decide(*policy, "all", span);
  return {{"Decision, 10,000 rules, 10 of them the caller's", few, "", "< 2 us", few.p50_us < kDecisionTargetUs},
          {"Decision, 10,000 rules, all of them the caller's", all, "", "< 2 us", all.p50_us < kDecisionTargetUs}};
}

Row ClaimRow(int due, Span span) {
  constexpr int kClaim = 64;
  std::string folder = testing::TempDir() + "due_XXXXXX";
  const std::string path = std::string(mkdtemp(folder.data())) + "/ledger.db";
  ManualLoop loop;
  SystemRandom random;
  Metrics metrics;
  LedgerFilling filling;
  filling.owner = "demo";
  filling.tokens = due;
  filling.active_every = 1;
  filling.now = loop.Now();
  filling.active_for = [](int) { return -minutes(1); };
  const absl::Status filled = WriteFilledLedger(path, "test", filling);
  if (!filled.ok()) Fail("cannot fill a ledger: " + filled.ToString());
  absl::StatusOr<std::unique_ptr<Ledger>> ledger =
      OpenSqliteLedger({path, "test", minutes(10)}, loop, loop, random, metrics);
  if (!ledger.ok()) Fail("cannot open the filled ledger: " + ledger.status().ToString());
  std::vector<Span> spans;
  const Clock::time_point began = Clock::now();
  while (Clock::now() - began < span) {
    const Clock::time_point now = Clock::now();
    const auto claimed = loop.Finish((*ledger)->ClaimDue(kClaim));
    if (!claimed.ok() || claimed->size() != kClaim) break;
    spans.push_back(Clock::now() - now);
  }
  ledger->reset();
  std::filesystem::remove_all(folder);
  return {"ClaimDue of 64 rows, " + std::to_string(due) + " due",
          FiguresOf(std::move(spans), Clock::now() - began),
          "",
          "",
          {}};
}

}  // namespace tokenbroker::bench
