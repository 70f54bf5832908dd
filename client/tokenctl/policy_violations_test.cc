// `tokenctl policy violations`: it revokes exactly what it has shown, or nothing.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/fake_broker.h"
#include "tests/support/subprocess.h"

namespace tokenbroker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class ViolationsCommandTest : public testing::Test {
 protected:
  ViolationsCommandTest() : broker_(authority_), folder_(authority_, "spiffe://test/demo") {
    v1::ListPolicyViolationsResponse found;
    for (const char* id : {"a", "b", "c"}) {
      v1::PolicyViolation& violation = *found.add_violations();
      violation.mutable_token()->set_name(std::string("tokens/") + id);
      violation.mutable_token()->set_owner("callers/ci");
      violation.mutable_token()->mutable_target()->set_project("acme/web");
      violation.mutable_token()->add_scopes("write_repository");
      violation.set_detail(std::string("no grant for ") + id);
    }
    found.set_policy_version("v7");
    broker_.admin().SetViolations(found);
  }

  Finished Run(std::vector<std::string> words) const {
    words.insert(words.begin(), {"client/tokenctl/tokenctl", "policy", "violations"});
    return RunProcess(words, {{"TOKENBROKER_ADDRESS", broker_.address()},
                              {"TOKENBROKER_CA", folder_.Path("ca.pem")},
                              {"TOKENBROKER_CERT", folder_.Path("cert.pem")},
                              {"TOKENBROKER_KEY", folder_.Path("key.pem")}});
  }

  TestAuthority authority_;
  FakeBroker broker_;
  ClientFolder folder_;
};

TEST_F(ViolationsCommandTest, Lists) {
  const Finished table = Run({"--output", "table"});
  EXPECT_EQ(table.exit_code, 0) << table.error;
  for (const char* part : {"v7", "tokens/b", "callers/ci", "project:acme/web", "write_repository", "no grant for c"}) {
    EXPECT_THAT(table.out, HasSubstr(part));
  }
  const Finished json = Run({});
  EXPECT_EQ(json.exit_code, 0) << json.error;
  EXPECT_THAT(json.out, HasSubstr("\"detail\": \"no grant for a\""));
  EXPECT_THAT(broker_.admin().revoked_violations(), IsEmpty());
}

TEST_F(ViolationsCommandTest, RevokesAllOrThoseNamedAfterShowingThem) {
  const Finished one = Run({"--revoke", "--expect", "1", "--id", "b"});
  EXPECT_EQ(one.exit_code, 0) << one.error;
  EXPECT_THAT(one.error, HasSubstr("no grant for b"));
  EXPECT_THAT(one.error, Not(HasSubstr("no grant for a")));
  EXPECT_THAT(broker_.admin().revoked_violations(), ElementsAre("tokens/b"));
  EXPECT_EQ(Run({"--revoke", "--expect", "3"}).exit_code, 0);
  EXPECT_THAT(broker_.admin().revoked_violations(), ElementsAre("tokens/b", "tokens/a", "tokens/b", "tokens/c"));
}

TEST_F(ViolationsCommandTest, ADifferentNumberDoesNothing) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"--revoke", "--expect", "2"}, {"--revoke", "--expect", "1", "--id", "d"}, {"--revoke", "--expect", "0"}}) {
    const Finished run = Run(words);
    EXPECT_EQ(run.exit_code, 7) << run.error;
    EXPECT_THAT(run.error, HasSubstr("nothing was done"));
  }
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"--revoke"}, {"--expect", "3"}, {"--id", "a"}}) {
    EXPECT_EQ(Run(words).exit_code, 2);
  }
  EXPECT_THAT(broker_.admin().revoked_violations(), IsEmpty());
}

}  // namespace
}  // namespace tokenbroker
