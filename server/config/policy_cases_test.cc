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
  const auto warnings = LintPolicyText(*ReadPolicyText(path("policy.yaml")), /*names_checked=*/false);
  ASSERT_TRUE(warnings.ok()) << warnings.status();
  const std::string file = path("policy.yaml");
  const std::vector<std::string> expected = {
      file + ":23:37: roles.spare.grants[0].targets[0]: 'ACME/apps/**' differs from 'acme/apps/**' (" + file +
          ":11:17) in the case of letters alone, which GitLab ignores",
      file +
          ":27:21: denies[0].targets[0]: does not bind the tokens of users and service accounts, which reach whatever "
          "their user is a member of; roles.own-team.grants[0].targets[1] (" +
          file + ":18:45) grants such tokens",
      file + ":23:3: roles.spare: no binding names this role",
      file + ":6:5: callers[2]: no binding names the caller 'idle'",
  };
  EXPECT_EQ(*warnings, expected);
}

TEST_F(PolicyCasesTest, TheLinterWarnsOfWhatGrantsLessOrMoreThanItSeems) {
  std::ofstream(path("wide.yaml")) << R"(callers:
  - name: "{team}"
    identities: [{jwt: {issuer: "https://idp", sub: "{team}"}}]
roles:
  wide:
    - verbs: [create, rotate]
      instance: main
      targets:
        - project: "{team}/**"
        - project: "acme/{team}-*"
        - group: acme
        - service_account: "acme:bot"
      scopes: [api]
      self_extending: true
      max_access_level: 30
      max_ttl: 1h
bindings: [{callers: ["{team}"], roles: [wide]}]
)";
  const auto text = [&](bool names_checked) {
    const auto warnings = LintPolicyText(*ReadPolicyText(path("wide.yaml")), names_checked);
    EXPECT_TRUE(warnings.ok()) << warnings.status();
    std::string all;
    for (const std::string& warning : *warnings) all += warning.substr(path("").size()) + "\n";
    return all;
  };
  const std::string all = text(false);
  for (const char* const part :
       {"wide.yaml:6:23: roles.wide.grants[0].verbs[1]: the broker does not serve the verb 'rotate' yet",
        "targets[0]: '{team}/**' reaches the personal namespace of a user with the captured name as well",
        "targets[1]: '{team}-*' covers what belongs to other captured names",
        "targets[2]: the broker does not make tokens of groups yet",
        "targets[3]: the broker does not make tokens of service accounts yet",
        "grants[0].self_extending: a holder of such a token can rotate it and so outlive its ttl",
        "grants[0].instance: 'main' could not be compared with the server's configuration",
        "jwt.issuer: 'https://idp' could not be compared"}) {
    EXPECT_NE(all.find(part), std::string::npos) << part << "\n" << all;
  }
  EXPECT_EQ(text(true).find("could not be compared"), std::string::npos);
}

TEST_F(PolicyCasesTest, ACaseHasAnInstance) {
  const std::string source = std::string(kPolicy) + "";
  std::string two = source;
  two.replace(two.find("denies: "), std::string::npos,
              "denies: [{instance: main, targets: [{project: acme/apps/vault}]}]\n");
  std::ofstream(path("policy.yaml")) << two;
  const PolicyText text = *ReadPolicyText(path("policy.yaml"));
  const auto policy = *CompilePolicyText(text, {});
  const auto run = [&](const std::string& target, const std::string& expect, const CaseInstances& instances) {
    std::ofstream(path("cases.yaml")) << "cases:\n  - name: it\n" + std::string(kBuilder) + kAsk + "    target: {" +
                                             target + "}\n    expect: " + expect + "\n";
    const auto results = RunPolicyCases(path("cases.yaml"), *policy, *ParseRfc3339("2026-11-25T12:00:00Z"), instances);
    return results.ok() ? results->front().difference : std::string(results.status().message());
  };
  const CaseInstances named = *InstancesOf(text);
  EXPECT_EQ(named.names, std::vector<std::string>{"main"});
  // The only one that is named is meant; another may be given.
  EXPECT_EQ(run("project: acme/apps/vault", "deny", named), "");
  EXPECT_EQ(run("project: acme/apps/vault, instance: other", "allow", named), "");
  EXPECT_NE(run("project: acme/apps/vault, instance: mian", "deny", {{"main"}, true})
                .find("target.instance: the configuration has no instance 'mian'"),
            std::string::npos);
  EXPECT_NE(run("project: acme/apps/vault", "deny", {{"main", "second"}, true}).find("is required: there are several"),
            std::string::npos);
}

TEST_F(PolicyCasesTest, AnAllowedCaseThatNothingServesWarns) {
  std::string policy = kPolicy;
  policy.replace(policy.find("verbs: [create]"), 15, "verbs: [create, rotate]");
  std::ofstream(path("policy.yaml")) << policy;
  policy_ = *CompilePolicyText(*ReadPolicyText(path("policy.yaml")), {});
  const auto results = Run("cases:\n  - name: it\n    verb: rotate\n" + std::string(kBuilder) + kAsk +
                           "    target: {project: acme/apps/a}\n    expect: allow\n");
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(results->front().difference, "");
  EXPECT_NE(results->front().warning.find("does not serve the verb 'rotate' yet"), std::string::npos);
}

// A name that nothing has would let a deny deny nothing.
TEST_F(PolicyCasesTest, NamesThatTheConfigurationLacksAreErrors) {
  const PolicyOptions options{false, KnownNames{{"main"}, {"https://idp"}}};
  const auto compile = [&](const std::string& text) {
    std::ofstream(path("names.yaml")) << text;
    return std::string(CompilePolicyText(*ReadPolicyText(path("names.yaml")), options).status().message())
        .substr(path("").size());
  };
  EXPECT_EQ(compile("denies: [{instance: mian}]\n"),
            "names.yaml:1:21: denies[0].instance: unknown instance 'mian', so that the rule would match nothing; did "
            "you mean 'main'? (gitlab)");
  EXPECT_EQ(
      compile("callers: [{name: a, identities: [{jwt: {issuer: 'https://ipd', sub: x}}]}]\n"),
      "names.yaml:1:49: callers[0].identities[0].jwt.issuer: unknown issuer 'https://ipd', so that the rule would "
      "match nothing; did you mean 'https://idp'? (identity.issuers)");
}

TEST_F(PolicyCasesTest, ATargetUsesOnlyCapturesOfTheCallersName) {
  std::string policy = kPolicy;
  policy.replace(policy.find("name: team-{team}"), 17, "name: deployer");
  policy.replace(policy.find("\"team-{team}\"]"), 14, "deployer]");
  std::ofstream(path("policy.yaml")) << policy;
  const std::string error(CompilePolicyText(*ReadPolicyText(path("policy.yaml")), {}).status().message());
  EXPECT_NE(error.find("policy.yaml:18:"), std::string::npos) << error;
  EXPECT_NE(error.find("roles.own-team.grants[0].targets[0]: uses the capture 'team', which the name of the caller "
                       "'deployer' does not have"),
            std::string::npos)
      << error;
}

}  // namespace
}  // namespace tokenbroker
