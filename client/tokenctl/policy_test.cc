// `tokenctl policy`: what is wrong with a policy is told at its place, and a pipeline can go by the exit code.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/subprocess.h"

namespace tokenbroker {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kPolicy[] = R"(callers: [{name: ci, identities: [{dns: ci.example.org}]}]
roles:
  reader:
    - verbs: [create]
      targets: [{project: acme/web}]
      scopes: [read_api]
      max_access_level: 20
      max_ttl: 8h
bindings: [{callers: [ci], roles: [reader]}]
)";

constexpr char kCase[] = R"(  - name: it reads
    peer: {dns: ci.example.org}
    target: {project: acme/web}
    scopes: [read_api]
    access_level: 20
    ttl: 1h
    expect: )";

class PolicyCommandTest : public testing::Test {
 protected:
  PolicyCommandTest()
      : folder_(fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  static Finished Run(std::vector<std::string> words) {
    words.insert(words.begin(), {"client/tokenctl/tokenctl", "policy"});
    return RunProcess(words, {});
  }

  const fs::path folder_;
};

TEST_F(PolicyCommandTest, AGoodPolicyIsOK) {
  const Finished run = Run({"lint", Write("policy.yaml", kPolicy)});
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.out, HasSubstr("1 callers, 0 warnings"));
}

TEST_F(PolicyCommandTest, AFaultHasItsPlace) {
  const std::string path = Write("policy.yaml", "roles:\n  r:\n    - verbs: [crate]\n");
  const Finished run = Run({"lint", path});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.error, HasSubstr(path + ":3:15: roles.r.grants[0].verbs[0]: unknown verb 'crate'"));
  EXPECT_EQ(Run({"lint", (folder_ / "none").string()}).exit_code, 1);
}

TEST_F(PolicyCommandTest, AWarningIsAnErrorIfThatIsWanted) {
  const std::string path = Write("policy.yaml", std::string(kPolicy) + "denies: [{targets: [{project: ACME/web}]}]\n");
  const Finished run = Run({"lint", path});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.error, StartsWith("warning: " + path + ":10:"));
  EXPECT_EQ(Run({"lint", path, "--strict"}).exit_code, 1);
}

TEST_F(PolicyCommandTest, CasesAreCounted) {
  const std::string policy = Write("policy.yaml", kPolicy);
  const Finished good = Run({"test", policy, Write("good.yaml", std::string("cases:\n") + kCase + "allow\n")});
  EXPECT_EQ(good.exit_code, 0) << good.error;
  EXPECT_EQ(good.out, "1 passed, 0 failed\n");
  const std::string cases = Write("bad.yaml", std::string("cases:\n") + kCase + "allow\n" + kCase + "deny\n");
  const Finished bad = Run({"test", policy, cases});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_EQ(bad.out, "1 passed, 1 failed\n");
  EXPECT_THAT(bad.error, StartsWith(cases + ":9:5: it reads: allowed: "));
}

constexpr char kAudit[] =
    R"({"writer":"w","seq":"1","time":"TIME","kind":"token.pending","caller":"callers/ci","body":)"
    R"("{\"request\":{\"verb\":\"create\",\"identity\":\"dns:ci.example.org\",\"target\":{\"instance\":\"main\",)"
    R"(\"kind\":\"project\",\"ref\":\"acme/web\"},\"facts\":{\"id\":7,\"path\":\"acme/web\"},)"
    R"(\"scopes\":[\"read_api\"],\"access_level\":20,\"ttl\":\"3600s\"}}"})"
    "\n";

std::string AuditAt(const std::string& time) {
  std::string line = kAudit;
  return line.replace(line.find("TIME"), 4, time);
}

TEST_F(PolicyCommandTest, ADifferenceIsShownByWhatWasAsked) {
  const std::string before = Write("policy.yaml", kPolicy);
  const std::string audit = Write("audit.jsonl", AuditAt("2026-11-25T08:00:00Z"));
  const std::vector<std::string> all = {"--days", "36500", "--audit", audit, "--output", "table"};
  const auto diff = [&](const std::string& after, std::vector<std::string> words) {
    words.insert(words.begin(), {"diff", before, after});
    return Run(words);
  };
  const Finished same = diff(before, all);
  EXPECT_EQ(same.exit_code, 0) << same.error;
  EXPECT_EQ(same.out, "1 requests replayed, 0 differences\n");

  const std::string after = Write("new.yaml", std::string(kPolicy) + "denies: [{targets: [{project: acme/web}]}]\n");
  const Finished table = diff(after, all);
  EXPECT_EQ(table.exit_code, 1) << table.error;
  for (const char* part : {"ci", "lose", "create project:acme/web read_api", "denies[0]", "1 differences"}) {
    EXPECT_THAT(table.out, HasSubstr(part));
  }
  const Finished json = diff(after, {"--days", "36500", "--audit", audit});
  EXPECT_EQ(json.exit_code, 1);
  EXPECT_THAT(json.out, HasSubstr(R"("would":"lose","what":"create project:acme/web read_api","asked":1)"));
  // Too long ago.
  EXPECT_EQ(diff(after, {"--days", "1", "--audit", Write("old.jsonl", AuditAt("2020-01-01T00:00:00Z"))}).exit_code, 0);
}

TEST_F(PolicyCommandTest, ADifferenceNeedsTwoPoliciesAndAnAudit) {
  const std::string policy = Write("policy.yaml", kPolicy);
  const std::string audit = Write("audit.jsonl", "{\"no\":1}\n");
  const Finished bad = Run({"diff", policy, policy, "--audit", audit});
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_THAT(bad.error, HasSubstr("audit.jsonl: line 1: is no record of an audit"));
  EXPECT_EQ(Run({"diff", policy, (folder_ / "none").string(), "--audit", audit}).exit_code, 2);
  EXPECT_EQ(Run({"diff", policy, policy, "--audit", (folder_ / "none").string()}).exit_code, 2);
  EXPECT_EQ(Run({"diff", policy}).exit_code, 2);
}

}  // namespace
}  // namespace tokenbroker
