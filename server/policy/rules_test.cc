// What stands in rules beside verbs, targets, scopes, levels and the longest ttl: one at a time.

#include <gtest/gtest.h>

#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/policy/policy_for_test.h"

namespace tokenbroker {
namespace {

const WallTime kNow = *ParseRfc3339("2026-11-25T12:00:00Z");
const Caller kWeb = {"web", "dns:web"};

// A policy whose only grant has these fields beside the usual ones, bound to "web".
std::shared_ptr<const Policy> WithGrant(const std::string& fields, const std::string& more = "") {
  return PolicyForTest(R"(roles { key: "maker" value { grants {
      verbs: "create" targets { project: "acme/*" } targets { user: 42 } scopes: "read_api" max_access_level: 30
      max_ttl: "8h" )" + fields +
                           R"( } } }
    bindings { callers: "web" roles: "maker" } )" +
                           more,
                       {{"web", {}}});
}

AccessRequest Asked() {
  AccessRequest request;
  request.target = {"main", TargetKind::kProject, "acme/x"};
  request.scopes = {"read_api"};
  request.access_level = 20;
  request.ttl = hours(1);
  request.display_name = "nightly";
  request.now = kNow;
  return request;
}

TargetFacts FactsOf(TargetKind kind, std::int64_t id, const std::string& path) {
  TargetFacts facts;
  facts.target = {"main", kind, id, path};
  return facts;
}
TargetFacts Project(const std::string& path) { return FactsOf(TargetKind::kProject, 7, path); }

// The detail of a decision; empty if it is allowed. Both steps agree.
std::string WhyNot(const Policy& policy, const AccessRequest& request, const Caller& caller = kWeb) {
  const Decision decision = policy.Decide(caller, request, Project("acme/x"));
  EXPECT_EQ(policy.DecideAsWritten(caller, request).status, decision.status);
  return decision.status.ok() ? "" : decision.detail;
}

constexpr char kGrant[] = "roles.maker.grants[0] does not grant ";

TEST(RulesTest, DisplayName) {
  const auto policy = WithGrant("display_name: 'ci-*-x'");
  AccessRequest request = Asked();
  EXPECT_EQ(WhyNot(*policy, request), std::string(kGrant) + "a display name other than 'ci-*-x'");
  request.display_name = "ci--x";
  EXPECT_EQ(WhyNot(*policy, request), "");
  request.display_name = "Ci--x";
  EXPECT_NE(WhyNot(*policy, request), "");
}

TEST(RulesTest, RequiredLabels) {
  const auto policy = WithGrant("required_labels { key: 'team' value: 'pay*' }");
  AccessRequest request = Asked();
  EXPECT_EQ(WhyNot(*policy, request), std::string(kGrant) + "a request without the label team='pay*'");
  request.labels = {{"team", "shop"}};
  EXPECT_NE(WhyNot(*policy, request), "");
  request.labels = {{"team", "payments"}, {"other", "label"}};
  EXPECT_EQ(WhyNot(*policy, request), "");
}

TEST(RulesTest, ShortestTtl) {
  const auto policy = WithGrant("min_ttl: '10m'");
  AccessRequest request = Asked();
  request.ttl = minutes(10);
  EXPECT_EQ(WhyNot(*policy, request), "");
  request.ttl -= Duration(1);
  EXPECT_EQ(WhyNot(*policy, request), std::string(kGrant) + "a ttl of 9m59s");
}

TEST(RulesTest, AGrantEndsAndItsTokensWithIt) {
  const auto policy = WithGrant("not_after: '2026-11-25T15:00:00+01:00'");  // In two hours.
  AccessRequest request = Asked();
  request.ttl = hours(2);
  EXPECT_EQ(WhyNot(*policy, request), "");
  request.ttl += Duration(1);
  EXPECT_EQ(WhyNot(*policy, request), std::string(kGrant) + "a token that lives after 2026-11-25T14:00:00Z");
  request.ttl = minutes(1);
  request.now = kNow + hours(2);
  EXPECT_EQ(WhyNot(*policy, request), std::string(kGrant) + "anything after 2026-11-25T14:00:00Z");
  EXPECT_FALSE(policy->MayReach(kWeb, request));
  request.now = AccessRequest().now;  // Forgotten: then it counts as ended.
  EXPECT_NE(WhyNot(*policy, request), "");
}

TEST(RulesTest, ReadingAndAdministrationEndAsWell) {
  const auto policy = PolicyForTest(R"(
    roles { key: "r" value {
      grants { verbs: "read" targets { project: "acme/*" } not_after: "2026-11-25T12:00:00Z" }
      grants { verbs: "audit" not_after: "2026-11-25T12:00:00Z" } } }
    bindings { callers: "web" roles: "r" })",
                                    {{"web", {}}});
  AccessRequest request = Asked();
  request.verb = Verb::kRead;
  for (const bool early : {true, false}) {
    request.now = early ? kNow - Duration(1) : kNow;
    EXPECT_EQ(policy->Decide(kWeb, request, Project("acme/x")).status.ok(), early);
    EXPECT_EQ(policy->DecideAdmin(kWeb, Verb::kAudit, request.now).status.ok(), early);
  }
}

TEST(RulesTest, AChainOfRotationsGrowsTooOld) {
  const auto policy = PolicyForTest(R"(
    roles { key: "r" value { grants { verbs: ["create", "rotate"] targets { project: "acme/*" } scopes: "read_api"
      max_access_level: 30 max_ttl: "8h" max_chain_age: "30d" } } }
    bindings { callers: "web" roles: "r" })",
                                    {{"web", {}}});
  AccessRequest request = Asked();
  request.chain_age = hours(24 * 31);
  EXPECT_EQ(WhyNot(*policy, request), "");  // A create has no chain.
  request.verb = Verb::kRotate;
  EXPECT_NE(WhyNot(*policy, request), "");
  EXPECT_FALSE(policy->Closest(kWeb, request, nullptr).has_value());
  request.chain_age = hours(24 * 30);
  EXPECT_EQ(WhyNot(*policy, request), "");
}

TEST(RulesTest, LimitsAreOfTheWidestGrant) {
  constexpr char kThree[] = R"(
    roles { key: "a" value {
      grants { verbs: ["create", "rotate"] targets { project: "acme/*" } scopes: "read_api" max_access_level: 30
               max_ttl: "8h" max_active: 2 creates_per_minute: 9 }
      grants { verbs: "create" targets { project: "acme/x" } scopes: "read_api" max_access_level: 30 max_ttl: "4h"
               max_active: 5 } } }
    roles { key: "b" value {
      grants { verbs: "create" targets { project: "acme/*" } scopes: "read_api" max_access_level: 30 max_ttl: "1h" } } }
    bindings { callers: "web" roles: ["b", "a"] })";
  const auto policy = PolicyForTest(kThree, {{"web", {}}});
  AccessRequest request = Asked();
  const auto limits = [&] { return policy->Decide(kWeb, request, Project("acme/x")).limits; };
  EXPECT_EQ(limits(), QuotaLimits());  // Role b has none.
  request.ttl = hours(4);
  EXPECT_EQ(limits(), (QuotaLimits{5, 0}));
  request.ttl = hours(8);
  EXPECT_EQ(limits(), (QuotaLimits{2, 9}));
  request.verb = Verb::kRotate;  // The successor takes its predecessor's place.
  EXPECT_EQ(limits(), (QuotaLimits{0, 9}));
  request.verb = Verb::kRead;
  EXPECT_EQ(limits(), QuotaLimits());
}

constexpr char kTeams[] = R"(
  roles { key: "team" value { grants { verbs: "create" targets { project: "{team}/**" }
    targets { project: "acme/pay-{team}" } targets { group: "acme/{team}-{env}" } targets { service_account: "{team}/b:ci" }
    scopes: "read_api" max_access_level: 30 max_ttl: "8h" } } }
  bindings { callers: "team-{team}" roles: "team" })";
const CapturesByCaller kTeamCallers = {{"team-{team}", {"team", "env"}}};

TEST(RulesTest, CapturesAreLiteralText) {
  const auto policy = PolicyForTest(kTeams, kTeamCallers);
  struct Row {
    std::string team;
    TargetKind kind;
    std::string path;
    bool granted;
  };
  constexpr auto kProject = TargetKind::kProject;
  const std::vector<Row> rows = {
      {"blue", kProject, "blue/x", true},
      {"blue", kProject, "BLUE/x/y", true},
      {"Blue", kProject, "blue/x", true},
      {"blue", kProject, "blue", false},
      {"blue", kProject, "blues/x", false},
      {"blue", kProject, "acme/pay-blue", true},
      {"blue", kProject, "acme/pay-red", false},
      {"red", kProject, "acme/pay-red", true},
      {"*", kProject, "acme/x", false},
      {"*", kProject, "acme/pay-red", false},
      {"acme/x", kProject, "acme/x/y", false},  // One segment at most.
      {"", kProject, "/x", false},
      {"..", kProject, "blue/x", false},
      {"{env}", kProject, "prod/x", false},  // Nothing is filled in twice.
      {"blue", TargetKind::kGroup, "acme/blue-prod", true},
      {"blue", TargetKind::kGroup, "acme/blue-test", false},
      {"blue", TargetKind::kServiceAccount, "Blue/b:CI", true},
      {"blue", TargetKind::kServiceAccount, "red/b:ci", false},
  };
  for (const Row& row : rows) {
    const Caller caller = {"team-x", "", "team-{team}", {{"team", row.team}, {"env", "prod"}}};
    AccessRequest request = Asked();
    request.target = {"main", row.kind, row.path};
    if (row.kind == TargetKind::kServiceAccount) request.access_level = 0;
    const Decision decision = policy->Decide(caller, request, FactsOf(row.kind, 7, row.path));
    EXPECT_EQ(decision.status.ok(), row.granted) << row.team << " " << row.path << " " << decision.detail;
    EXPECT_EQ(policy->CoversAsWritten(caller, request), row.granted) << row.team << " " << row.path;
  }
}

TEST(RulesTest, WithoutItsCaptureAPatternMatchesNothing) {
  const auto policy = PolicyForTest(kTeams, kTeamCallers);
  AccessRequest request = Asked();
  request.target.ref = "blue/x";
  EXPECT_FALSE(policy->Decide({"team-blue", "", "team-{team}", {}}, request, Project("blue/x")).status.ok());
  // Grants are found by the rule's name, if there is one.
  EXPECT_TRUE(policy->GrantsOf({"team-blue", ""}).empty());
  EXPECT_EQ(policy->GrantsOf({"team-blue", "", "team-{team}"}).size(), 1u);
}

TEST(RulesTest, ACaptureMustBeKnownToEveryBoundCaller) {
  const auto refused = CompileForTest(SourceOf(kTeams), {{"team-{team}", {"team"}}});
  ASSERT_TRUE(absl::IsInvalidArgument(refused.status()));
  EXPECT_EQ(
      std::string(refused.status().message()),
      "roles.team.grants[0].targets[2]: uses the capture 'env', which the name of the caller 'team-{team}' does not "
      "have, and the role 'team' is bound to it: all that match this caller would be one owner of the tokens; "
      "write '{env}' into the caller's name");
  // Nobody is bound to it.
  config::v1::Policy unbound = SourceOf(kTeams);
  unbound.clear_bindings();
  EXPECT_TRUE(CompileForTest(unbound, {}).ok());
}

TEST(RulesTest, RulesInAuditModeRecordWhatWouldHaveBeen) {
  const auto policy = PolicyForTest(R"(
    roles { key: "old" value { grants { verbs: "create" targets { project: "acme/x" } scopes: "read_api"
                                        max_access_level: 30 max_ttl: "8h" } } }
    roles { key: "new" value { grants { verbs: "create" targets { project: "acme/*" } scopes: "read_api"
                                        max_access_level: 30 max_ttl: "8h" }
                               grants { verbs: "audit" } } }
    bindings { callers: "web" roles: "old" }
    bindings { callers: "web" roles: "new" mode: "audit" }
    denies { verbs: "create" scopes: "k8s_proxy" mode: "enforce" }
    denies { verbs: ["create", "audit"] targets { project: "acme/x" } mode: "audit" })",
                                    {{"web", {}}});
  const Decision taken = policy->Decide(kWeb, Asked(), Project("acme/x"));
  EXPECT_TRUE(taken.status.ok());
  ASSERT_TRUE(taken.would_have.has_value());
  EXPECT_FALSE(taken.would_have->allowed);
  EXPECT_EQ(taken.would_have->rule.place, "denies[1]");

  AccessRequest other = Asked();
  other.target.ref = "acme/y";
  const Decision given = policy->Decide(kWeb, other, Project("acme/y"));
  EXPECT_EQ(given.status, NotGranted());
  ASSERT_TRUE(given.would_have.has_value());
  EXPECT_TRUE(given.would_have->allowed);
  EXPECT_EQ(given.would_have->rule.role, "new");
  EXPECT_EQ(policy->GrantsOf(kWeb).size(), 1u);  // What is not granted is not shown.
  EXPECT_TRUE(policy->HasVerbAnywhere(kWeb, Verb::kCreate));
  EXPECT_FALSE(policy->HasVerbAnywhere(kWeb, Verb::kAudit));

  const Decision admin = policy->DecideAdmin(kWeb, Verb::kAudit, kNow);
  EXPECT_FALSE(admin.status.ok());
  EXPECT_FALSE(admin.would_have.has_value());  // The deny would stand against it.
}

TEST(RulesTest, EnforceWinsOverAudit) {
  const auto policy = WithGrant("", "bindings { callers: 'web' roles: 'maker' mode: 'audit' }");
  EXPECT_EQ(WhyNot(*policy, Asked()), "");
}

TEST(RulesTest, ADecisionNamesItsRuleAndWhereItIsWritten) {
  const auto source = SourceOf(R"(
    roles { key: "r" value { grants { verbs: "create" targets { project: "acme/*" } scopes: "read_api"
      max_access_level: 30 max_ttl: "8h" } } }
    bindings { callers: "web" roles: "r" } denies { targets { project: "acme/y" } })");
  const auto policy = CompileForTest(source, {{"web", {}}}, [](const std::string& place) { return "p.yaml:" + place; });
  ASSERT_TRUE(policy.ok());
  const Decision granted = (*policy)->Decide(kWeb, Asked(), Project("acme/x"));
  EXPECT_EQ(granted.rule.place, "roles.r.grants[0]");
  EXPECT_EQ(granted.rule.role, "r");
  EXPECT_EQ(granted.rule.position, "p.yaml:roles.r.grants[0]");
  EXPECT_EQ(granted.detail, "roles.r.grants[0] (p.yaml:roles.r.grants[0]) covers it");
  const Decision denied = (*policy)->Decide(kWeb, Asked(), Project("acme/y"));
  EXPECT_EQ(denied.rule.place, "denies[0]");
  EXPECT_EQ(denied.rule.role, "");
  EXPECT_EQ(denied.status, NotGranted());
}

// Kinds that no adapter mints yet are judged like the others.
TEST(RulesTest, AllKindsAndRotationAreJudged) {
  const auto policy = PolicyForTest(R"(
    roles { key: "r" value { grants { verbs: "rotate" targets { group: "acme" } targets { service_account: "acme:bot" }
      scopes: "read_api" max_access_level: 30 max_ttl: "8h" } } }
    bindings { callers: "web" roles: "r" })",
                                    {{"web", {}}});
  AccessRequest request = Asked();
  for (const Verb verb : {Verb::kCreate, Verb::kRotate}) {
    request.verb = verb;
    request.target = {"main", TargetKind::kGroup, "acme"};
    request.access_level = 20;
    EXPECT_EQ(policy->Decide(kWeb, request, FactsOf(TargetKind::kGroup, 1, "acme")).status.ok(), verb == Verb::kRotate);
    request.target = {"main", TargetKind::kServiceAccount, "acme:bot"};
    request.access_level = 0;
    EXPECT_EQ(policy->Decide(kWeb, request, FactsOf(TargetKind::kServiceAccount, 1, "acme:bot")).status.ok(),
              verb == Verb::kRotate);
  }
}

TEST(ClosestTest, ChangesWhatMustBeChangedAndNoMore) {
  const auto policy = WithGrant("min_ttl: '10m' display_name: 'ci-*' required_labels { key: 'team' value: 'pay' }");
  AccessRequest request = Asked();
  request.scopes = {"read_repository", "api", "write_registry"};
  request.access_level = 40;
  request.ttl = hours(9);
  const std::optional<AccessRequest> closest = policy->Closest(kWeb, request, nullptr);
  ASSERT_TRUE(closest.has_value());
  EXPECT_EQ(closest->target.ref, "acme/x");
  EXPECT_EQ(closest->scopes, (std::vector<std::string>{"read_repository", "read_api"}));  // What api implied.
  EXPECT_EQ(closest->access_level, 30);
  EXPECT_EQ(closest->ttl, hours(8));
  EXPECT_EQ(closest->display_name, "ci-nightly");
  EXPECT_EQ(closest->labels, (std::map<std::string, std::string>{{"team", "pay"}}));
}

TEST(ClosestTest, NeverAsksForMore) {
  const auto policy = WithGrant("");
  AccessRequest request = Asked();
  request.scopes = {"self_rotate"};  // Nothing that it implies is granted.
  EXPECT_FALSE(policy->Closest(kWeb, request, nullptr).has_value());
  request = Asked();
  request.access_level = 15;  // Beside the ladder: no level below it.
  EXPECT_FALSE(policy->Closest(kWeb, request, nullptr).has_value());
}

// A foreign project, one that does not exist and one that is forbidden by a deny are answered alike.
TEST(ClosestTest, TellsNothingOfWhatExists) {
  const auto policy = WithGrant("", "denies { targets { project: 'acme/secret' } }");
  AccessRequest request = Asked();
  request.target.ref = "7";
  const TargetFacts foreign = Project("other/x");
  const TargetFacts denied = Project("acme/secret");
  EXPECT_FALSE(policy->Closest(kWeb, request, nullptr).has_value());
  EXPECT_FALSE(policy->Closest(kWeb, request, &foreign).has_value());
  EXPECT_FALSE(policy->Closest(kWeb, request, &denied).has_value());
  // What a grant reaches, a create with less would tell as well.
  request.scopes = {"api"};
  const TargetFacts own = Project("acme/x");
  ASSERT_TRUE(policy->Closest(kWeb, request, &own).has_value());
  EXPECT_EQ(policy->Closest(kWeb, request, &own)->target.ref, "7");
  TargetFacts admin = FactsOf(TargetKind::kUser, 42, "root");
  admin.is_admin = true;
  request.target = {"main", TargetKind::kUser, "42"};
  request.access_level = 0;
  EXPECT_FALSE(policy->Closest(kWeb, request, &admin).has_value());
}

TEST(ClosestTest, AnotherTargetIsOneThatAGrantNamesInFull) {
  const auto policy = WithGrant("targets { project: 'acme/payments' }");
  AccessRequest request = Asked();
  request.target.ref = "acme/team/paymnts";
  ASSERT_TRUE(policy->Closest(kWeb, request, nullptr).has_value());
  EXPECT_EQ(policy->Closest(kWeb, request, nullptr)->target.ref, "acme/payments");
  request.target = {"main", TargetKind::kGroup, "acme"};  // None of its kind.
  EXPECT_FALSE(policy->Closest(kWeb, request, nullptr).has_value());
}

}  // namespace
}  // namespace tokenbroker
