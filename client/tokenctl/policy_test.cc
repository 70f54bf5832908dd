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

}  // namespace
}  // namespace tokenbroker
