// Over every request of a small world: asking for less of what is allowed is allowed, a deny never allows more, and the
// order of bindings does not matter.

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "server/domain/scope.h"
#include "server/policy/policy.h"

namespace tokenbroker {
namespace {

constexpr char kCallers[] = R"(
  callers { name: "web" identities { dns: "web" } }
  roles { key: "a" value {
    grants { verbs: "create" targets { project: "acme/x*" } scopes: ["api", "read_registry"] self_extending: true
             max_access_level: 40 max_ttl: "2h" }
    grants { verbs: "create" targets { user: 1 } targets { group: "acme" } scopes: ["read_api", "write_repository"]
             max_access_level: 50 max_ttl: "1h" } } }
  roles { key: "b" value {
    grants { verbs: "create" targets { project: "acme/*" } scopes: ["write_repository", "k8s_proxy"]
             max_access_level: 25 max_ttl: "3h" }
    grants { verbs: "create" targets { user: 1 username: "dan" } scopes: ["self_rotate", "read_api"]
             self_extending: true max_ttl: "2h" } } })";
constexpr char kDenies[] = R"(
  denies { targets { project: "acme/xy" } scopes: ["read_registry", "self_rotate"] }
  denies { targets { group: "acme" } }
  denies { verbs: "create" scopes: "write_registry" })";

std::shared_ptr<const Policy> Make(const std::string& text) {
  config::v1::Policy source;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &source)) << text;
  const auto compiled = Policy::Compile(source, "v1", {});
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return compiled.ok() ? *compiled : Policy::DenyAll();
}

struct Case {
  AccessRequest request;
  TargetFacts facts;
};

const std::vector<std::string>& Scopes() {
  static const auto* const kScopes =
      new std::vector<std::string>{"api",           "read_api",       "read_user",   "write_repository",
                                   "read_registry", "write_registry", "self_rotate", "k8s_proxy"};
  return *kScopes;
}

// Every target x every one or two scopes x every level x four ttls.
std::vector<Case> World() {
  std::vector<std::vector<std::string>> scope_sets;
  for (const std::string& first : Scopes()) {
    scope_sets.push_back({first});
    for (const std::string& second : Scopes()) {
      if (first < second) scope_sets.push_back({first, second});
    }
  }
  std::vector<TargetFacts> targets(6);
  targets[0].target = {"main", TargetKind::kProject, 7, "acme/x"};
  targets[1].target = {"main", TargetKind::kProject, 8, "ACME/xY"};
  targets[2].target = {"main", TargetKind::kProject, 9, "acme/other"};
  targets[3].target = {"main", TargetKind::kGroup, 7, "acme"};
  targets[4].target = {"main", TargetKind::kUser, 1, "dan"};
  targets[5].target = {"main", TargetKind::kUser, 1, "eve"};
  std::vector<Case> world;
  for (const TargetFacts& facts : targets) {
    const bool user = facts.target.kind == TargetKind::kUser;
    const std::vector<int> levels = user ? std::vector<int>{0} : std::vector<int>{10, 15, 20, 25, 30, 40, 50};
    for (const auto& scopes : scope_sets) {
      for (const int level : levels) {
        for (const int minutes_of_ttl : {30, 60, 120, 180}) {
          world.push_back({{Verb::kCreate,
                            {"main", facts.target.kind, std::to_string(facts.target.id)},
                            scopes,
                            level,
                            minutes(minutes_of_ttl)},
                           facts});
        }
      }
    }
  }
  return world;
}

bool Allows(const Policy& policy, const Case& each) {
  const Decision decision = policy.Decide({"web", ""}, each.request, each.facts);
  // What the facts allow was possible as written.
  EXPECT_TRUE(!decision.status.ok() || policy.DecideAsWritten({"web", ""}, each.request).status.ok());
  return decision.status.ok();
}

// Every request that is one step less.
std::vector<Case> Less(const Case& from) {
  std::vector<Case> out;
  const auto add = [&](auto change) {
    Case less = from;
    change(less.request);
    out.push_back(std::move(less));
  };
  add([](AccessRequest& r) { r.ttl -= minutes(1); });
  for (const int level : {10, 15, 20, 25, 30, 40}) {
    if (LevelCovers(from.request.access_level, level)) add([&](AccessRequest& r) { r.access_level = level; });
  }
  if (from.request.scopes.size() > 1) {
    add([](AccessRequest& r) { r.scopes.pop_back(); });
    add([](AccessRequest& r) { r.scopes.erase(r.scopes.begin()); });
  }
  for (std::size_t i = 0; i < from.request.scopes.size(); ++i) {
    for (const std::string& scope : Scopes()) {
      if (Implies(from.request.scopes[i], scope)) add([&](AccessRequest& r) { r.scopes[i] = scope; });
    }
  }
  return out;
}

constexpr char kForward[] = "bindings { callers: 'web' roles: 'a' } bindings { callers: 'web' roles: 'b' }";
constexpr char kBackward[] = "bindings { callers: 'web' roles: ['b', 'b', 'a'] }";

TEST(BruteForceTest, LessOfWhatIsAllowedIsAllowed) {
  const auto policy = Make(std::string(kCallers) + kForward + kDenies);
  int allowed = 0;
  for (const Case& each : World()) {
    if (!Allows(*policy, each)) continue;
    ++allowed;
    for (const Case& less : Less(each)) ASSERT_TRUE(Allows(*policy, less)) << ToText(each.request.target);
  }
  EXPECT_GT(allowed, 50);
}

TEST(BruteForceTest, ADenyNeverAllowsMore) {
  const auto without = Make(std::string(kCallers) + kForward);
  const auto with = Make(std::string(kCallers) + kForward + kDenies);
  int taken = 0;
  for (const Case& each : World()) {
    const bool before = Allows(*without, each);
    const bool after = Allows(*with, each);
    ASSERT_TRUE(before || !after) << ToText(each.request.target);
    taken += before && !after ? 1 : 0;
  }
  EXPECT_GT(taken, 50);
}

TEST(BruteForceTest, TheOrderOfBindingsDoesNotMatter) {
  const auto forward = Make(std::string(kCallers) + kForward + kDenies);
  const auto backward = Make(kBackward + std::string(kDenies) + kCallers);
  for (const Case& each : World()) {
    const Decision one = forward->Decide({"web", ""}, each.request, each.facts);
    const Decision other = backward->Decide({"web", ""}, each.request, each.facts);
    ASSERT_EQ(one.status, other.status);
    ASSERT_EQ(one.rule.place, other.rule.place);
    ASSERT_EQ(one.detail, other.detail);
  }
}

}  // namespace
}  // namespace tokenbroker
