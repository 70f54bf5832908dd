// What holds of every policy and every request, over many out of seeds. A failure names its seed.

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "server/base/time_text.h"
#include "server/domain/scope.h"
#include "server/policy/random_policy.h"

namespace tokenbroker {
namespace {

constexpr unsigned kPolicies = 300;
constexpr unsigned kPoliciesByBruteForce = 120;
constexpr int kCases = 60;

std::shared_ptr<const Policy> Make(const config::v1::Policy& source) {
  const auto compiled = CompileForTest(source, RandomPolicies::Callers());
  EXPECT_TRUE(compiled.ok()) << compiled.status() << source.ShortDebugString();
  return compiled.ok() ? *compiled : Policy::DenyAll();
}

const Caller& Web() {
  static const auto* const kWeb = new Caller(RandomPolicies::Web());
  return *kWeb;
}

// Step 1, and step 2 if it passes.
Decision Judge(const Policy& policy, const RandomCase& each) {
  const Decision written = policy.DecideAsWritten(Web(), each.request);
  const Decision decision = policy.Decide(Web(), each.request, each.facts);
  // What the facts allow was possible as written.
  EXPECT_TRUE(!decision.status.ok() || written.status.ok()) << ToText(each.request.target);
  return decision;
}
bool Allows(const Policy& policy, const RandomCase& each) { return Judge(policy, each).status.ok(); }

void ForAll(unsigned policies, const auto& check) {
  for (unsigned seed = 1; seed <= policies && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomPolicies world(seed);
    const config::v1::Policy source = world.Source();
    check(world, source);
  }
}

// One step less, or the same if there is none. No ttl goes below what some grant demands.
RandomCase LessOf(RandomCase from, std::mt19937& random) {
  AccessRequest& request = from.request;
  switch (random() % 4) {
    case 0:
      if (request.ttl > minutes(20)) request.ttl = minutes(10) + (request.ttl - minutes(10)) / 2;
      break;
    case 1:
      for (const int level : {10, 15, 20, 25, 30, 40}) {
        if (LevelCovers(request.access_level, level) && random() % 2 == 0) request.access_level = level;
      }
      break;
    case 2:
      if (request.scopes.size() > 1) request.scopes.erase(request.scopes.begin());
      break;
    default:
      for (const std::string& scope : RandomPolicies::Scopes()) {
        std::string& last = request.scopes.back();
        const bool twice = std::count(request.scopes.begin(), request.scopes.end(), scope) != 0;
        if (Implies(last, scope) && !twice && random() % 2 == 0) last = scope;
      }
  }
  return from;
}

TEST(PropertyTest, LessOfWhatIsAllowedIsAllowed) {
  int allowed = 0;
  ForAll(kPolicies, [&](RandomPolicies& world, const config::v1::Policy& source) {
    const auto policy = Make(source);
    for (int i = 0; i < kCases; ++i) {
      RandomCase each = world.Case();
      if (!Allows(*policy, each)) continue;
      ++allowed;
      for (int step = 0; step < 5; ++step) {
        each = LessOf(std::move(each), world.random());
        ASSERT_TRUE(Allows(*policy, each)) << Judge(*policy, each).detail << source.ShortDebugString();
      }
    }
  });
  EXPECT_GT(allowed, 200);
}

TEST(PropertyTest, ADenyNeverAllowsMore) {
  int taken = 0;
  ForAll(kPolicies, [&](RandomPolicies& world, config::v1::Policy source) {
    const auto with = Make(source);
    source.clear_denies();
    const auto without = Make(source);
    for (int i = 0; i < kCases; ++i) {
      const RandomCase each = world.Case();
      const bool before = Allows(*without, each);
      const bool after = Allows(*with, each);
      ASSERT_TRUE(before || !after) << source.ShortDebugString();
      taken += before && !after ? 1 : 0;
    }
  });
  EXPECT_GT(taken, 50);
}

bool SameRequest(const std::optional<AccessRequest>& one, const std::optional<AccessRequest>& other) {
  if (!one.has_value() || !other.has_value()) return one.has_value() == other.has_value();
  return ToText(one->target) == ToText(other->target) && one->scopes == other->scopes &&
         one->access_level == other->access_level && one->ttl == other->ttl &&
         one->display_name == other->display_name && one->labels == other->labels;
}

TEST(PropertyTest, TheOrderOfBindingsDoesNotMatter) {
  ForAll(kPolicies, [&](RandomPolicies& world, const config::v1::Policy& source) {
    config::v1::Policy shuffled = source;
    std::shuffle(shuffled.mutable_bindings()->pointer_begin(), shuffled.mutable_bindings()->pointer_end(),
                 world.random());
    const auto policy = Make(source);
    const auto other = Make(shuffled);
    for (int i = 0; i < kCases; ++i) {
      const RandomCase each = world.Case();
      const Decision a = Judge(*policy, each);
      const Decision b = Judge(*other, each);
      ASSERT_EQ(a.status, b.status);
      ASSERT_EQ(a.detail, b.detail);
      ASSERT_EQ(a.rule.place, b.rule.place);
      ASSERT_EQ(a.limits, b.limits);
      ASSERT_EQ(a.would_have.has_value(), b.would_have.has_value());
      ASSERT_TRUE(SameRequest(policy->Closest(Web(), each.request, &each.facts),
                              other->Closest(Web(), each.request, &each.facts)));
    }
  });
}

config::v1::Policy WithoutAudit(const config::v1::Policy& source) {
  config::v1::Policy out = source;
  out.clear_bindings();
  out.clear_denies();
  for (const auto& binding : source.bindings()) {
    if (binding.mode() != "audit") *out.add_bindings() = binding;
  }
  for (const auto& deny : source.denies()) {
    if (deny.mode() != "audit") *out.add_denies() = deny;
  }
  return out;
}

config::v1::Policy AllEnforced(config::v1::Policy source) {
  for (auto& binding : *source.mutable_bindings()) binding.clear_mode();
  for (auto& deny : *source.mutable_denies()) deny.clear_mode();
  return source;
}

TEST(PropertyTest, AuditModeChangesNoAnswerAndTellsWhatEnforcingWould) {
  int would = 0;
  ForAll(kPolicies, [&](RandomPolicies& world, const config::v1::Policy& source) {
    const auto policy = Make(source);
    const auto without = Make(WithoutAudit(source));
    const auto enforced = Make(AllEnforced(source));
    for (int i = 0; i < kCases; ++i) {
      const RandomCase each = world.Case();
      const Decision decision = Judge(*policy, each);
      const Decision bare = Judge(*without, each);
      ASSERT_EQ(decision.status, bare.status) << source.ShortDebugString();
      ASSERT_EQ(decision.rule.role, bare.rule.role);
      ASSERT_EQ(decision.limits, bare.limits);
      ASSERT_FALSE(bare.would_have.has_value());
      ASSERT_TRUE(SameRequest(policy->Closest(Web(), each.request, &each.facts),
                              without->Closest(Web(), each.request, &each.facts)));
      const bool then = Allows(*enforced, each);
      ASSERT_EQ(decision.would_have.has_value(), then != decision.status.ok()) << source.ShortDebugString();
      if (!decision.would_have.has_value()) continue;
      ++would;
      ASSERT_EQ(decision.would_have->allowed, then);
      ASSERT_NE(decision.would_have->rule.place, "");
    }
  });
  EXPECT_GT(would, 100);
}

std::string TextOf(const AccessRequest& request) {
  std::string text = std::string(NameOf(request.verb)) + " " + ToText(request.target);
  for (const std::string& scope : request.scopes) text += " " + scope;
  text += " " + std::to_string(request.access_level) + " " + FormatDuration(request.ttl) + " " + request.display_name;
  for (const auto& [key, value] : request.labels) absl::StrAppend(&text, " ", key, "=", value);
  return text;
}

// How far a request is from what was asked for.
std::tuple<int, int, Duration> DistanceOf(const AccessRequest& asked, const AccessRequest& other) {
  const auto same_scopes = [&] {
    return asked.scopes.size() == other.scopes.size() &&
           std::is_permutation(asked.scopes.begin(), asked.scopes.end(), other.scopes.begin());
  };
  const int fields = (ToText(asked.target) != ToText(other.target) ? 1 : 0) + (same_scopes() ? 0 : 1) +
                     (asked.access_level != other.access_level ? 1 : 0) + (asked.ttl != other.ttl ? 1 : 0) +
                     (asked.display_name != other.display_name ? 1 : 0) + (asked.labels != other.labels ? 1 : 0);
  const auto removed = std::count_if(asked.scopes.begin(), asked.scopes.end(), [&](const std::string& scope) {
    return std::find(other.scopes.begin(), other.scopes.end(), scope) == other.scopes.end();
  });
  const Duration ttl = std::max(asked.ttl, other.ttl) - std::min(asked.ttl, other.ttl);
  return {fields, static_cast<int>(removed), ttl};
}

// Whether it is allowed: at the request's own target by the facts, elsewhere for certain as written.
bool IsAllowedClose(const Policy& policy, const RandomCase& asked, const AccessRequest& close) {
  if (ToText(close.target) == ToText(asked.request.target)) {
    return policy.Decide(Web(), close, asked.facts).status.ok();
  }
  return policy.DecideAsWritten(Web(), close).status.ok() && policy.CoversAsWritten(Web(), close);
}

// All that can be proposed: every set of the six scopes that asks for nothing more, every level that is not higher,
// every end of every grant, every target that a grant names in full.
template <typename Visit>
void ForEachProposal(const Policy& policy, const AccessRequest& asked, const Visit& visit) {
  std::vector<Target> targets = {asked.target};
  for (const GrantView& grant : policy.GrantsOf(Web())) {
    for (std::string text : grant.targets) {
      const std::string kind = std::string(NameOf(asked.target.kind)) + ":";
      if (asked.verb != Verb::kCreate || !text.starts_with(kind) || text.find('*') != text.npos) continue;
      text.erase(0, kind.size());
      const std::size_t capture = text.find("{team}");
      if (capture != text.npos) text.replace(capture, 6, "blue");
      const bool own = LowerCase(text) == LowerCase(asked.target.ref);
      if (!own) targets.push_back({"main", asked.target.kind, text});
    }
  }
  std::vector<std::vector<std::string>> scope_sets;
  const std::vector<std::string>& scopes = RandomPolicies::Scopes();
  for (unsigned set = 1; set < 1u << scopes.size(); ++set) {
    std::vector<std::string> some;
    for (std::size_t i = 0; i < scopes.size(); ++i) {
      if ((set >> i & 1u) != 0) some.push_back(scopes[i]);
    }
    // What GitLab takes for no token of the kind, no request may ask for.
    const bool less = std::all_of(some.begin(), some.end(), [&](const auto& scope) {
      return AnyImplies(asked.scopes, scope) && ScopeFits(scope, asked.target.kind);
    });
    if (less) scope_sets.push_back(std::move(some));
  }
  std::vector<int> levels = {asked.access_level};
  for (const int level : {10, 15, 20, 25, 30, 40}) {
    if (level != asked.access_level && LevelCovers(asked.access_level, level)) levels.push_back(level);
  }
  std::vector<Duration> ttls = {asked.ttl};
  for (const int each : {5, 10, 30, 45, 60, 120}) ttls.push_back(minutes(each));
  std::vector<std::map<std::string, std::string>> label_sets = {asked.labels, asked.labels, asked.labels};
  label_sets[1]["team"] = "blue";
  label_sets[2]["team"] = "";
  AccessRequest close = asked;
  for (const Target& target : targets) {
    for (const auto& some : scope_sets) {
      for (const int level : levels) {
        for (const Duration ttl : ttls) {
          for (const std::string& name : {asked.display_name, "ci-" + asked.display_name}) {
            for (const auto& labels : label_sets) {
              close.target = target;
              close.scopes = some;
              close.access_level = level;
              close.ttl = ttl;
              close.display_name = name;
              close.labels = labels;
              visit(close);
            }
          }
        }
      }
    }
  }
}

TEST(PropertyTest, TheClosestAllowedRequestIsAllowedAndNoneIsCloser) {
  int proposed = 0;
  int none = 0;
  ForAll(kPoliciesByBruteForce, [&](RandomPolicies& world, const config::v1::Policy& source) {
    const auto policy = Make(source);
    for (int i = 0; i < 6; ++i) {
      const RandomCase each = world.Case();
      if (Allows(*policy, each)) continue;
      const std::optional<AccessRequest> closest = policy->Closest(Web(), each.request, &each.facts);
      if (closest.has_value()) {
        ++proposed;
        ASSERT_TRUE(IsAllowedClose(*policy, each, *closest)) << source.ShortDebugString();
        ASSERT_TRUE(std::all_of(closest->scopes.begin(), closest->scopes.end(),
                                [&](const auto& scope) { return AnyImplies(each.request.scopes, scope); }));
      } else {
        ++none;
      }
      ForEachProposal(*policy, each.request, [&](const AccessRequest& close) {
        const bool closer =
            !closest.has_value() || DistanceOf(each.request, close) < DistanceOf(each.request, *closest);
        if (!closer || testing::Test::HasFailure()) return;
        EXPECT_FALSE(IsAllowedClose(*policy, each, close))
            << "asked " << TextOf(each.request) << "\nclose " << TextOf(close) << "\nclosest "
            << (closest.has_value() ? TextOf(*closest) : "none") << "\n"
            << source.ShortDebugString();
      });
    }
  });
  EXPECT_GT(proposed, 200);
  EXPECT_GT(none, 50);
}

}  // namespace
}  // namespace tokenbroker
