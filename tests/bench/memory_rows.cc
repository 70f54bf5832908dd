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

void AddCaller(config::v1::Policy& source, const std::string& name, const std::string& spiffe) {
  config::v1::CallerRule& caller = *source.add_callers();
  caller.set_name(name);
  caller.add_identities()->set_spiffe(spiffe);
}

// A grant of projects, with all that a grant may say, in a role of its own.
void AddGrant(config::v1::Policy& source, const std::string& role, const std::string& project) {
  config::v1::Grant& grant = *(*source.mutable_roles())[role].add_grants();
  grant.add_verbs("create");
  grant.add_targets()->set_project(project);
  grant.add_scopes("read_repository");
  grant.set_max_access_level(30);
  grant.set_max_ttl("8h");
  grant.set_min_ttl("5m");
  grant.set_display_name("nightly *");
  (*grant.mutable_required_labels())["team"] = "pay*";
  grant.set_max_active(10);
  grant.set_not_after("2030-01-01T00:00:00Z");
}

// Each rule grants one group's projects to "all", and the last of them to "few"; a caller "team-..." has as many, each
// of one project of the group that its identity names. There is a deny for each, too.
std::shared_ptr<const Policy> LargePolicy() {
  config::v1::Policy source;
  AddCaller(source, "all", "spiffe://test/all");
  AddCaller(source, "few", "spiffe://test/few");
  for (int i = 0; i < kRules; ++i) {
    const std::string group = "group" + std::to_string(i);
    AddGrant(source, group, group + "/*");
    config::v1::Binding& binding = *source.add_bindings();
    binding.add_callers("all");
    if (i >= kRules - kFewRules) binding.add_callers("few");
    binding.add_roles(group);
    source.add_denies()->add_targets()->set_project(group + "/secret");
  }
  absl::StatusOr<std::shared_ptr<const Policy>> policy = Policy::Compile(source, "bench", {});
  if (!policy.ok()) Fail("the large policy does not compile: " + policy.status().ToString());
  return *std::move(policy);
}

// What a Create asks of the policy last, for a target that the caller's last rule grants, or for one that none does.
Figures Decide(const Policy& policy, const Caller& caller, const std::string& path, bool granted, Span span) {
  AccessRequest request;
  request.target = {"main", TargetKind::kProject, path};
  request.scopes = {"read_repository"};
  request.access_level = 20;
  request.ttl = hours(1);
  request.display_name = "nightly build";
  request.labels = {{"team", "payments"}};
  request.now = WallTime(seconds(1'800'000'000));
  TargetFacts facts;
  facts.target = {"main", TargetKind::kProject, 7, path};
  constexpr int kInOneSpan = 10;  // One alone is short beside the reading of the clock.
  std::vector<Span> spans;
  const Clock::time_point began = Clock::now();
  while (Clock::now() - began < span) {
    const Clock::time_point now = Clock::now();
    for (int i = 0; i < kInOneSpan; ++i) {
      if (policy.Decide(caller, request, facts).status.ok() != granted) Fail("the large policy decides wrongly");
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
  const Caller few = {"few", "spiffe://test/few"};
  const Caller all = {"all", "spiffe://test/all"};
  const std::string granted = "group" + std::to_string(kRules - 1) + "/payments";
  const auto row = [&](const char* name, const Caller& caller, const std::string& path, bool is_granted) {
    const Figures figures = Decide(*policy, caller, path, is_granted, span);
    return Row{name, figures, "", "< 2 us", figures.p50_us < kDecisionTargetUs};
  };
  return {row("Decision, 10,000 rules, 10 of them the caller's", few, granted, true),
          row("Decision, 10,000 rules, all of them the caller's", all, granted, true),
          row("Decision, 10,000 rules, refused", all, "other/payments", false)};
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
