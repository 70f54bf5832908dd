// Decisions on the request as written and on GitLab's facts.
#include "server/policy/policy.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/policy/path_pattern.h"

namespace tokenbroker {
namespace {

std::shared_ptr<const Policy> Make(const std::string& text, PolicyOptions options = {}) {
  config::v1::Policy source;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &source)) << text;
  const auto compiled = Policy::Compile(source, "v1", options);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return compiled.ok() ? *compiled : Policy::DenyAll();
}

constexpr char kPolicy[] = R"(
  callers { name: "web" identities { dns: "web" } }
  callers { name: "ops" identities { dns: "ops" } }
  roles { key: "integrator" value {
    grants { verbs: "create" targets { project: "acme/payments" } targets { project: "acme/teams/**" }
             scopes: "write_repository" max_access_level: 30 max_ttl: "8h" }
    grants { verbs: "create" targets { user: 42 } targets { user: 43 username: "Dan" } targets { user: 44 }
             scopes: "read_api" max_ttl: "1h" }
    grants { verbs: "create" targets { group: "acme" } scopes: ["api", "self_rotate"] self_extending: true
             max_access_level: 15 max_ttl: "1h" }
    grants { verbs: "create" instance: "second" targets { user: 99 } scopes: "read_api" max_ttl: "1h" }
    grants { verbs: "create" targets { service_account: "acme/bots:ci" } targets { service_account: "71" }
             scopes: "read_api" max_ttl: "1h" } } }
  roles { key: "operator" value { grants { verbs: ["read", "revoke"] targets { project: "acme/*" } } } }
  bindings { callers: "web" roles: "integrator" }
  bindings { callers: "ops" roles: "operator" }
  denies { targets { project: "acme/teams/secret/*" } }
  denies { verbs: "create" targets { project: "acme/payments" } scopes: "read_registry" }
)";

const WallTime kNow = *ParseRfc3339("2026-11-25T12:00:00Z");
const Caller kWeb = {"web", "dns:web"};
const Caller kOps = {"ops", "dns:ops"};

AccessRequest ForProject(std::string ref) {
  return {Verb::kCreate, {"main", TargetKind::kProject, std::move(ref)}, {"read_repository"}, 20, hours(1)};
}
AccessRequest ForUser(std::string ref) {
  return {Verb::kCreate, {"main", TargetKind::kUser, std::move(ref)}, {"read_user"}, 0, hours(1)};
}
TargetFacts Facts(TargetKind kind, std::int64_t id, std::string path) {
  TargetFacts facts;
  facts.target = {"main", kind, id, std::move(path)};
  return facts;
}
TargetFacts ProjectFacts(std::string path) { return Facts(TargetKind::kProject, 7, std::move(path)); }

void ExpectNotGranted(const Decision& decision) {
  EXPECT_TRUE(absl::IsPermissionDenied(decision.status)) << decision.status << decision.detail;
  EXPECT_EQ(ReasonOf(decision.status), "NOT_GRANTED");
  EXPECT_EQ(decision.status, NotGranted()) << "one text, whatever the cause";
  EXPECT_EQ(decision.rule.role, "");
  EXPECT_NE(decision.detail, "");
}

TEST(PolicyTest, ThreeSpellingsOneDecision) {
  const auto policy = Make(kPolicy);
  for (const char* spelling : {"ACME/payments", "acme/Payments", "7"}) {
    EXPECT_TRUE(policy->DecideAsWritten(kWeb, ForProject(spelling)).status.ok()) << spelling;
    const Decision decision = policy->Decide(kWeb, ForProject(spelling), ProjectFacts("acme/Payments"));
    EXPECT_TRUE(decision.status.ok()) << spelling << decision.detail;
    EXPECT_EQ(decision.rule.role, "integrator");
    EXPECT_EQ(decision.detail, "roles.integrator.grants[0] covers it");
  }
  for (const char* spelling : {"ACME/Teams/SECRET/x", "acme/teams/secret/x", "7"}) {
    const Decision decision = policy->Decide(kWeb, ForProject(spelling), ProjectFacts("Acme/Teams/Secret/x"));
    ExpectNotGranted(decision);
    EXPECT_EQ(decision.detail, "denies[0] denies it");
  }
}

TEST(PolicyTest, FactsDecideNotTheWrittenPath) {
  const auto policy = Make(kPolicy);
  // The granted path names another project by now.
  ExpectNotGranted(policy->Decide(kWeb, ForProject("acme/payments"), ProjectFacts("other/payments")));
  EXPECT_TRUE(policy->Decide(kWeb, ForProject("7"), ProjectFacts("acme/payments")).status.ok());
}

TEST(PolicyTest, AsWritten) {
  struct Row {
    AccessRequest request;
    bool may;
    bool covers;
  };
  const auto policy = Make(kPolicy);
  AccessRequest account = ForUser("ACME/bots:CI");
  account.target.kind = TargetKind::kServiceAccount;
  AccessRequest other_account = account;
  other_account.target.ref = "acme/bots:cd";
  const std::vector<Row> rows = {
      {ForProject("acme/payments"), true, true},
      {ForProject("acme/teams/a/b"), true, true},
      {ForProject("acme/teams"), false, false},
      {ForProject("acme/teams/secret/x"), false, false},
      {ForProject("8"), true, false},
      {ForProject("other/payments"), false, false},
      {ForUser("42"), true, true},
      {ForUser("43"), true, false},  // The name is not known yet.
      {ForUser("45"), false, false},
      {ForUser("99"), false, false},  // Another instance.
      {ForUser("whoever"), true, false},
      {account, true, true},
      {other_account, true, false},  // It may be number 71.
  };
  for (const Row& row : rows) {
    const Decision decision = policy->DecideAsWritten(kWeb, row.request);
    EXPECT_EQ(decision.status.ok(), row.may) << ToText(row.request.target) << " " << decision.detail;
    if (!row.may) ExpectNotGranted(decision);
    EXPECT_EQ(policy->CoversAsWritten(kWeb, row.request), row.covers) << ToText(row.request.target);
    ExpectNotGranted(policy->DecideAsWritten({"stranger", ""}, row.request));
    ExpectNotGranted(Policy::DenyAll()->DecideAsWritten(kWeb, row.request));
  }
}

TEST(PolicyTest, ScopesLevelsAndTtl) {
  struct Row {
    TargetKind kind;
    std::string path;
    std::vector<std::string> scopes;
    int level;
    Duration ttl;
    std::string detail;  // A part of it; empty: granted.
  };
  const auto policy = Make(kPolicy);
  constexpr auto kProject = TargetKind::kProject;
  constexpr auto kGroup = TargetKind::kGroup;
  constexpr auto kUser = TargetKind::kUser;
  const std::vector<Row> rows = {
      {kProject, "acme/payments", {"write_repository"}, 30, hours(8), ""},
      {kProject, "acme/payments", {"read_repository", "write_repository"}, 10, minutes(1), ""},
      {kProject, "acme/payments", {"read_repository", "read_user"}, 10, minutes(1), "the scope read_user"},
      {kProject, "acme/payments", {}, 10, minutes(1), "a scope"},
      {kProject, "acme/payments", {"read_repository"}, 40, hours(1), "the access level 40"},
      {kProject, "acme/payments", {"read_repository"}, 15, hours(1), "the access level 15"},
      {kProject, "acme/payments", {"read_repository"}, 0, hours(1), "the access level 0"},
      {kProject, "acme/payments", {"read_repository"}, 30, hours(8) + Duration(1), "a ttl of"},
      {kProject, "acme/payments", {"read_registry"}, 30, hours(8), "denies[1]"},
      {kProject, "acme/payments", {"read_api"}, 30, hours(8), "denies[1]"},  // It gives read_registry, too.
      {kGroup, "acme", {"api"}, 15, hours(1), ""},
      {kGroup, "acme", {"self_rotate"}, 15, hours(1), ""},
      {kGroup, "acme", {"read_api", "write_registry"}, 15, hours(1), ""},
      {kGroup, "acme", {"api"}, 10, hours(1), "the access level 10"},
      {kUser, "someone", {"read_api"}, 0, hours(1), ""},
      {kUser, "someone", {"read_user"}, 10, hours(1), "the access level 10"},
      {kUser, "someone", {"api"}, 0, hours(1), "the self-extending scope api"},
      {kUser, "someone", {"self_rotate"}, 0, hours(1), "the self-extending scope self_rotate"},
  };
  for (const Row& row : rows) {
    const AccessRequest request = {Verb::kCreate, {"main", row.kind, "42"}, row.scopes, row.level, row.ttl};
    const Decision decision = policy->Decide(kWeb, request, Facts(row.kind, 42, row.path));
    EXPECT_EQ(decision.status.ok(), row.detail.empty()) << decision.detail;
    if (row.detail.empty()) continue;
    ExpectNotGranted(decision);
    EXPECT_NE(decision.detail.find(row.detail), std::string::npos) << decision.detail;
  }
}

// Two grants that cover it only together do not cover it.
TEST(PolicyTest, OneGrantMustCoverTheWholeRequest) {
  const auto policy = Make(R"(
    callers { name: "web" identities { dns: "web" } }
    roles { key: "a" value { grants { verbs: "create" targets { user: 42 } scopes: "read_user" max_ttl: "8h" }
                             grants { verbs: "create" targets { user: 42 } scopes: "read_api" max_ttl: "1h" } } }
    bindings { callers: "web" roles: "a" })");
  AccessRequest request = ForUser("42");
  request.scopes = {"read_api"};
  EXPECT_TRUE(policy->Decide(kWeb, request, Facts(TargetKind::kUser, 42, "x")).status.ok());
  request.ttl = hours(8);
  ExpectNotGranted(policy->Decide(kWeb, request, Facts(TargetKind::kUser, 42, "x")));
  request.scopes = {"read_user"};
  EXPECT_TRUE(policy->Decide(kWeb, request, Facts(TargetKind::kUser, 42, "x")).status.ok());
}

TEST(PolicyTest, ReadingNeedsVerbAndTargetAlone) {
  const auto policy = Make(kPolicy);
  for (const Verb verb : {Verb::kRead, Verb::kRevoke}) {
    const AccessRequest request = {verb, {"main", TargetKind::kProject, "7"}, {"api"}, 50, Duration(0)};
    EXPECT_TRUE(policy->Decide(kOps, request, ProjectFacts("acme/any")).status.ok());
    ExpectNotGranted(policy->Decide(kOps, request, ProjectFacts("acme/any/deeper")));
    ExpectNotGranted(policy->Decide(kWeb, request, ProjectFacts("acme/payments")));
  }
  const AccessRequest audit = {Verb::kAudit, {"main", TargetKind::kProject, "7"}, {}, 0, Duration(0)};
  const Decision decision = policy->Decide(kOps, audit, ProjectFacts("acme/any"));
  ExpectNotGranted(decision);
  EXPECT_EQ(decision.detail, "roles.operator.grants[0] does not grant the verb audit");
}

TEST(PolicyTest, TheAdministrationIsOpenedByItsOwnVerbsAlone) {
  constexpr char kAdmins[] = R"(
    callers { name: "web" identities { dns: "web" } }
    callers { name: "ops" identities { dns: "ops" } }
    roles { key: "all" value { grants { verbs: "create" verbs: "read" verbs: "revoke" targets { project: "acme/*" }
                               scopes: "api" self_extending: true max_access_level: 50 max_ttl: "30d" } } }
    roles { key: "auditor" value { grants { verbs: "audit" } } }
    bindings { callers: "web" callers: "ops" roles: "all" }
    bindings { callers: "ops" roles: "auditor" })";
  const auto policy = Make(kAdmins);
  EXPECT_TRUE(policy->DecideAdmin(kOps, Verb::kAudit, kNow).status.ok());
  EXPECT_EQ(policy->DecideAdmin(kOps, Verb::kAudit, kNow).rule.role, "auditor");
  ExpectNotGranted(policy->DecideAdmin(kOps, Verb::kReconcile, kNow));
  ExpectNotGranted(policy->DecideAdmin(kWeb, Verb::kAudit, kNow));

  ExpectNotGranted(Make(std::string(kAdmins) + "denies { verbs: 'audit' }")->DecideAdmin(kOps, Verb::kAudit, kNow));
  ExpectNotGranted(Make(std::string(kAdmins) + "denies { }")->DecideAdmin(kOps, Verb::kAudit, kNow));
  EXPECT_TRUE(
      Make(std::string(kAdmins) + "denies { targets { user: 1 } }")->DecideAdmin(kOps, Verb::kAudit, kNow).status.ok());
}

TEST(PolicyTest, UsersThatCannotBeTargets) {
  struct Row {
    void (*set)(TargetFacts&);
    bool lifted;  // By allow_admin_targets.
  };
  const std::vector<Row> rows = {{[](TargetFacts& f) { f.is_admin = true; }, true},
                                 {[](TargetFacts& f) { f.is_issuer = true; }, true},
                                 {[](TargetFacts& f) { f.active = false; }, false},
                                 {[](TargetFacts& f) { f.bot = true; }, false},
                                 {[](TargetFacts& f) { f.is_admin = true, f.active = false; }, false}};
  const auto strict = Make(kPolicy);
  const auto open = Make(kPolicy, {.allow_admin_targets = true});
  for (const Row& row : rows) {
    TargetFacts facts = Facts(TargetKind::kUser, 42, "someone");
    row.set(facts);
    const Decision decision = strict->Decide(kWeb, ForUser("42"), facts);
    EXPECT_TRUE(absl::IsFailedPrecondition(decision.status)) << decision.status;
    EXPECT_EQ(ReasonOf(decision.status), "TARGET_FORBIDDEN");
    EXPECT_EQ(open->Decide(kWeb, ForUser("42"), facts).status.ok(), row.lifted);
    // Without a grant nothing is told about the user.
    facts.target.id = 45;
    ExpectNotGranted(strict->Decide(kWeb, ForUser("45"), facts));
    facts.target.id = 42;
    AccessRequest more = ForUser("42");
    more.ttl = hours(9);
    ExpectNotGranted(strict->Decide(kWeb, more, facts));
  }
}

TEST(PolicyTest, ServiceAccountsAreBotsButMayNotBeAdministrators) {
  const auto policy = Make(kPolicy);
  AccessRequest request = ForUser("71");
  request.target.kind = TargetKind::kServiceAccount;
  TargetFacts facts = Facts(TargetKind::kServiceAccount, 71, "acme/bots:x");
  facts.bot = true;
  EXPECT_TRUE(policy->Decide(kWeb, request, facts).status.ok());
  facts.target.id = 72;
  ExpectNotGranted(policy->Decide(kWeb, request, facts));
  facts.target.path = "Acme/bots:CI";
  EXPECT_TRUE(policy->Decide(kWeb, request, facts).status.ok());
  facts.is_admin = true;
  EXPECT_EQ(ReasonOf(policy->Decide(kWeb, request, facts).status), "TARGET_FORBIDDEN");
}

TEST(PolicyTest, UsernameBesideAnIdMustMatch) {
  const auto policy = Make(kPolicy);
  EXPECT_TRUE(policy->Decide(kWeb, ForUser("43"), Facts(TargetKind::kUser, 43, "dan")).status.ok());
  EXPECT_TRUE(policy->Decide(kWeb, ForUser("dan"), Facts(TargetKind::kUser, 43, "dan")).status.ok());
  ExpectNotGranted(policy->Decide(kWeb, ForUser("43"), Facts(TargetKind::kUser, 43, "eve")));
  ExpectNotGranted(policy->Decide(kWeb, ForUser("dan"), Facts(TargetKind::kUser, 45, "dan")));
}

TEST(PathPatternTest, Matches) {
  struct Row {
    std::string pattern, path;
    bool matches;
  };
  const std::vector<Row> rows = {
      {"acme/payments", "ACME/Payments", true},
      {"ACME/Payments", "acme/payments", true},
      {"acme/payments", "acme/payments2", false},
      {"acme/pay*", "acme/payments", true},
      {"acme/pay*", "acme/pay", true},
      {"acme/pay*", "acme/pay/x", false},
      {"acme/*", "acme/x", true},
      {"acme/*", "acme", false},
      {"acme/*", "acme/x/y", false},
      {"acme/*-*-z", "acme/a-b-c-z", true},
      {"acme/*-*-z", "acme/a-z", false},
      {"*/x", "acme/x", true},
      {"acme/.github", "acme/.GitHub", true},
      {"acme/t/**", "acme/t/x", true},
      {"acme/t/**", "acme/T/x/y/z", true},
      {"acme/t/**", "acme/t", false},
      {"acme/t/**", "acme/tt/x", false},
      {"acme/t/*/**", "acme/t/x/y", true},
      {"acme/t/*/**", "acme/t/x", false},
  };
  for (const Row& row : rows) {
    const auto pattern = PathPattern::Parse(row.pattern, 2);
    ASSERT_TRUE(pattern.ok()) << row.pattern << pattern.status();
    EXPECT_EQ(pattern->Matches(LowerCase(row.path), CapturedTexts()), row.matches) << row.pattern << " " << row.path;
  }
}

}  // namespace
}  // namespace tokenbroker
