// A policy beside its cases, and what a linter says of it.
#include "server/config/policy_cases.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "server/base/time_text.h"
#include "server/config/policy_lint.h"
#include "server/config/policy_text.h"

namespace tokenbroker {
namespace {

namespace fs = std::filesystem;

constexpr char kPolicy[] = R"(callers:
  - name: ci
    identities: [{spiffe: spiffe://example.org/builder}]
  - name: team-{team}
    identities: [{spiffe: "spiffe://example.org/ns/{team}/sa/*"}]
  - name: idle
    identities: [{dns: idle.example.org}]
roles:
  read-code:
    - verbs: [create]
      targets: [{project: acme/apps/**}]
      scopes: [read_repository]
      max_access_level: 20
      max_ttl: 8h
      not_after: 2027-01-01T00:00:00Z
  own-team:
    - verbs: [create]
      targets: [{project: "acme/{team}/*"}, {user: 42, username: demo}]
      scopes: [read_repository]
      max_access_level: 20
      max_ttl: 8h
  operate: [{verbs: [audit]}]
  spare: [{verbs: [read], targets: [{project: ACME/apps/**}]}]
bindings:
  - {callers: [ci], roles: [read-code, operate]}
  - {callers: ["team-{team}"], roles: [own-team]}
denies: [{targets: [{project: acme/apps/vault}]}]
)";

class PolicyCasesTest : public testing::Test {
 protected:
  PolicyCasesTest()
      : folder_(fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(path("policy.yaml")) << kPolicy;
    policy_ = *CompilePolicyText(*ReadPolicyText(path("policy.yaml")), {});
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  absl::StatusOr<std::vector<CaseResult>> Run(const std::string& cases) const {
    std::ofstream(path("cases.yaml")) << cases;
    return RunPolicyCases(path("cases.yaml"), *policy_, *ParseRfc3339("2026-11-25T12:00:00Z"));
  }
  // Of the only case: what differs; of a file that is none, its error.
  std::string Only(const std::string& body) const {
    const auto results = Run("cases:\n  - name: it\n" + body);
    if (!results.ok()) return std::string(results.status().message()).substr(path("").size());
    return results->size() == 1 ? results->front().difference : "not one result";
  }

  const fs::path folder_;
  std::shared_ptr<const Policy> policy_;
};

constexpr char kBuilder[] = "    peer: {spiffe: spiffe://example.org/builder}\n";
constexpr char kBlue[] = "    peer: {spiffe: spiffe://example.org/ns/blue/sa/x}\n";
constexpr char kAsk[] = "    scopes: [read_repository]\n    access_level: 20\n    ttl: 1h\n";

TEST_F(PolicyCasesTest, CasesThatHoldSayNothing) {
  EXPECT_EQ(Only(std::string(kBlue) + kAsk +
                 "    target: {project: Acme/BLUE/web}\n    expect: allow\n"
                 "    role: own-team\n    caller: team-blue\n"),
            "");
  EXPECT_EQ(Only(std::string(kBlue) + kAsk + "    target: {project: acme/red/web}\n    expect: deny\n"), "");
  EXPECT_EQ(Only(std::string(kBlue) + kAsk +
                 "    target: {user: 42, username: demo, administrator: true}\n"
                 "    expect: deny\n"),
            "");
  EXPECT_EQ(Only("    peer: {dns: nobody.example.org}\n" + std::string(kAsk) +
                 "    target: {project: acme/apps/web}\n    expect: deny\n"),
            "");
}

TEST_F(PolicyCasesTest, TheAdministrationHasNoTarget) {
  EXPECT_EQ(Only(std::string(kBuilder) + "    verb: audit\n    expect: allow\n    role: operate\n"), "");
  EXPECT_EQ(Only(std::string(kBlue) + "    verb: audit\n    expect: deny\n"), "");
}

TEST_F(PolicyCasesTest, WhatDiffersIsToldWithItsRule) {
  const std::string allowed =
      Only(std::string(kBlue) + kAsk + "    target: {project: acme/blue/web}\n    expect: deny\n");
  EXPECT_TRUE(allowed.starts_with("allowed: roles.own-team.grants[0]")) << allowed;
  EXPECT_NE(allowed.find("policy.yaml:17:"), std::string::npos) << allowed;
  const std::string denied =
      Only(std::string(kBlue) + kAsk + "    target: {project: acme/red/web}\n    expect: allow\n");
  EXPECT_TRUE(denied.starts_with("denied: ")) << denied;
  EXPECT_EQ(Only(std::string(kBlue) + kAsk +
                 "    target: {project: acme/blue/web}\n    expect: allow\n"
                 "    caller: team-red\n"),
            "the peer is the caller team-blue");
  EXPECT_TRUE(Only("    peer: {dns: nobody.example.org}\n" + std::string(kAsk) +
                   "    target: {project: acme/apps/web}\n    expect: allow\n")
                  .starts_with("the peer is no caller: "));
}

TEST_F(PolicyCasesTest, ACaseThatCannotBeOneHasItsPlace) {
  const std::string rest = "    target: {project: acme/blue/web}\n    expect: allow\n";
  EXPECT_EQ(Only(std::string(kBlue) + "    scopes: [read_repository]\n    ttl: soon\n" + rest),
            "cases.yaml:5:10: cases[0].ttl: must be a duration, as in '90s', '15m', '8h' or '30d'");
  EXPECT_EQ(Only(std::string(kBlue) + kAsk + "    target: {project: a/b, group: a}\n    expect: allow\n"),
            "cases.yaml:7:5: cases[0].target: exactly one of user, project, group and service_account is required");
  EXPECT_EQ(Only(std::string(kBlue) + kAsk + "    target: {project: acme/blue/web}\n    expect: alow\n"),
            "cases.yaml:8:13: cases[0].expect: must be allow or deny");
  EXPECT_EQ(Only(std::string(kBlue) + "    verb: crate\n" + rest),
            "cases.yaml:4:11: cases[0].verb: must be create, rotate, read, revoke, reconcile or audit, not 'crate'");
}

TEST_F(PolicyCasesTest, GrantsEndAtTheTimeThatACaseNames) {
  const std::string ask = std::string(kBuilder) + kAsk + "    target: {project: acme/apps/a}\n";
  EXPECT_EQ(Only(ask + "    expect: allow\n"), "");
  EXPECT_EQ(Only(ask + "    expect: deny\n    time: 2027-01-01T00:00:00Z\n"), "");
  EXPECT_EQ(Only(ask + "    expect: allow\n    time: 2026-12-31T22:59:59Z\n"), "");
}

TEST_F(PolicyCasesTest, TheLinterTellsWhatIsHardlyMeant) {
  const auto warnings = LintPolicyText(*ReadPolicyText(path("policy.yaml")));
  ASSERT_TRUE(warnings.ok()) << warnings.status();
  const std::string file = path("policy.yaml");
  const std::vector<std::string> expected = {
      file + ":23:37: roles.spare.grants[0].targets[0]: 'ACME/apps/**' differs from 'acme/apps/**' (" + file +
          ":11:17) in the case of letters alone, which GitLab ignores",
      file + ":23:3: roles.spare: no binding names this role",
      file + ":6:5: callers[2]: no binding names the caller 'idle'",
  };
  EXPECT_EQ(*warnings, expected);
}

}  // namespace
}  // namespace tokenbroker
