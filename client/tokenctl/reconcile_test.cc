// `tokenctl reconcile`: it acts on exactly what it has shown, or on nothing.

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

class ReconcileCommandTest : public testing::Test {
 protected:
  ReconcileCommandTest() : broker_(authority_), folder_(authority_, "spiffe://test/demo") {
    v1::ListUnknownTokensResponse found;
    for (const std::int64_t id : {11, 12, 13}) {
      v1::UnknownToken& token = *found.add_unknown_tokens();
      token.mutable_upstream()->set_id(id);
      token.mutable_upstream()->set_name("nightly [tb:tb1:" + std::to_string(id) + "]");
      token.set_reason(id == 13 ? v1::UNKNOWN_REASON_CLOSED : v1::UNKNOWN_REASON_NO_ROW);
      token.set_adoptable(id != 13);
      token.set_owner("callers/ci");
      token.mutable_target()->set_user("42");
    }
    v1::MovedTarget& moved = *found.add_moved_targets();
    moved.mutable_target()->set_project("acme/payments");
    moved.set_path("elsewhere/payments");
    found.mutable_walk_time()->set_seconds(1'764'000'000);
    broker_.admin().SetUnknown(found);
  }

  Finished Run(std::vector<std::string> words) const {
    words.insert(words.begin(), {"client/tokenctl/tokenctl", "reconcile"});
    return RunProcess(words, {{"TOKENBROKER_ADDRESS", broker_.address()},
                              {"TOKENBROKER_CA", folder_.Path("ca.pem")},
                              {"TOKENBROKER_CERT", folder_.Path("cert.pem")},
                              {"TOKENBROKER_KEY", folder_.Path("key.pem")}});
  }

  TestAuthority authority_;
  FakeBroker broker_;
  ClientFolder folder_;
};

TEST_F(ReconcileCommandTest, Lists) {
  const Finished table = Run({"--output", "table"});
  EXPECT_EQ(table.exit_code, 0) << table.error;
  for (const char* part : {"11", "NO_ROW", "CLOSED", "callers/ci", "user:42", "project:acme/payments",
                           "elsewhere/payments", "nightly [tb:tb1:13]"}) {
    EXPECT_THAT(table.out, HasSubstr(part));
  }
  const Finished json = Run({});
  EXPECT_EQ(json.exit_code, 0) << json.error;
  EXPECT_THAT(json.out, HasSubstr("\"adoptable\": true"));
  EXPECT_THAT(broker_.admin().adopted(), IsEmpty());
  EXPECT_THAT(broker_.admin().revoked(), IsEmpty());
}

TEST_F(ReconcileCommandTest, AdoptsWhatCanBeAfterShowingIt) {
  const Finished run = Run({"--adopt", "--expect", "2"});
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.error, HasSubstr("nightly [tb:tb1:12]"));
  EXPECT_THAT(run.error, Not(HasSubstr("nightly [tb:tb1:13]")));
  EXPECT_THAT(broker_.admin().adopted(), ElementsAre(11, 12));
  EXPECT_THAT(broker_.admin().revoked(), IsEmpty());
}

TEST_F(ReconcileCommandTest, RevokesAllOrThoseNamed) {
  EXPECT_EQ(Run({"--revoke", "--expect", "1", "--id", "13"}).exit_code, 0);
  EXPECT_THAT(broker_.admin().revoked(), ElementsAre(13));
  EXPECT_EQ(Run({"--revoke", "--expect", "3"}).exit_code, 0);
  EXPECT_THAT(broker_.admin().revoked(), ElementsAre(13, 11, 12, 13));
}

TEST_F(ReconcileCommandTest, ThousandsAreCountedAndRevokedInParts) {
  v1::ListUnknownTokensResponse found;
  for (std::int64_t id = 1; id <= 1'001; ++id) found.add_unknown_tokens()->mutable_upstream()->set_id(id);
  found.mutable_walk_time()->set_seconds(1'764'000'000);
  broker_.admin().SetUnknown(found);
  EXPECT_THAT(Run({"--output", "table"}).out, HasSubstr("1001 unknown tokens."));
  EXPECT_EQ(Run({"--revoke", "--expect", "1001"}).exit_code, 0);
  EXPECT_EQ(broker_.admin().revoked().size(), 1'001U);
}

TEST_F(ReconcileCommandTest, ADifferentNumberDoesNothing) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"--adopt", "--expect", "3"}, {"--revoke", "--expect", "2"}, {"--revoke", "--expect", "1", "--id", "14"}}) {
    const Finished run = Run(words);
    EXPECT_EQ(run.exit_code, 7) << run.error;
    EXPECT_THAT(run.error, HasSubstr("nothing was done"));
  }
  EXPECT_THAT(broker_.admin().adopted(), IsEmpty());
  EXPECT_THAT(broker_.admin().revoked(), IsEmpty());
}

TEST_F(ReconcileCommandTest, AnActNeedsItsNumber) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"--adopt"},
                                             {"--revoke"},
                                             {"--expect", "1"},
                                             {"--adopt", "--revoke", "--expect", "2"},
                                             {"--adopt", "--expect", "-1"}}) {
    EXPECT_EQ(Run(words).exit_code, 2);
  }
  EXPECT_THAT(broker_.admin().adopted(), IsEmpty());
}

}  // namespace
}  // namespace tokenbroker
