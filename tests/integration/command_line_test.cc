// tokenctl as a person and a script use it, against a real broker.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "tests/integration/broker_process.h"
#include "tests/support/subprocess.h"

namespace tokenbroker {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class CommandLineTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(house_.StartBroker()) << house_.output(); }
  void TearDown() override { EXPECT_EQ(house_.StopBroker(), 0) << house_.output(); }

  Finished Run(std::vector<std::string> words) {
    words.insert(words.begin(), std::getenv("TOKENCTL"));
    const auto [certificate, key] = house_.ClientFiles("spiffe://test/demo");
    return RunProcess(words, {{"TOKENBROKER_ADDRESS", house_.grpc_address()},
                              {"TOKENBROKER_CA", house_.path("ca.pem")},
                              {"TOKENBROKER_CERT", certificate},
                              {"TOKENBROKER_KEY", key}});
  }
  std::vector<std::string> Create(std::vector<std::string> more, const std::string& scopes = "read_user") const {
    more.insert(more.begin(), {"create", "--display-name", "nightly", "--user", std::to_string(house_.demo_user()),
                               "--scopes", scopes});
    return more;
  }

  House house_;
};

TEST_F(CommandLineTest, ASecretThatNobodyWouldSeeIsNotMade) {
  const Finished lost = Run(Create({}));
  EXPECT_EQ(lost.exit_code, 2);
  EXPECT_EQ(lost.out, "");
  EXPECT_THAT(Run({"list", "--show-closed"}).out, HasSubstr("\"tokens\": []"));

  const std::string path = house_.path("secret");
  const Finished made = Run(Create({"--secret-file", path}));
  ASSERT_EQ(made.exit_code, 0) << made.error;
  std::ifstream in(path);
  const std::string secret(std::istreambuf_iterator<char>(in), {});
  EXPECT_EQ(UseToken(house_.gitlab().url() + "/api/v4/user", secret), 200);
  EXPECT_THAT(made.out, AllOf(Not(HasSubstr(secret)), HasSubstr("\"displayName\": \"nightly\"")));
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(Run(Create({"--secret-file", path})).exit_code, 2);  // Not even by the same command.
}

TEST_F(CommandLineTest, AFilterTakesWhatTheTableShows) {
  ASSERT_EQ(Run(Create({"--output", "secret"})).exit_code, 0);
  const std::string table = Run({"list", "--output", "table"}).out;
  const std::string target = "main/user:" + std::to_string(house_.demo_user());
  ASSERT_THAT(table, AllOf(HasSubstr(target), HasSubstr("ACTIVE")));
  EXPECT_EQ(Run({"list", "--output", "table", "--filter", "target=" + target + " AND state=active"}).out, table);
  EXPECT_EQ(Run({"list", "--output", "table", "--filter", "target=other" + target.substr(4)}).out, "No tokens.\n");
  const Finished year_0 = Run({"list", "--filter", "create_time>0000-01-01T00:00:00Z"});
  EXPECT_EQ(year_0.exit_code, 6);
  EXPECT_THAT(year_0.error, AllOf(HasSubstr("of the years 1 to 9999"), Not(HasSubstr("was made"))));
}

TEST_F(CommandLineTest, AnErrorSaysItsFieldOnceAndWhatIsMeant) {
  const Finished typo = Run(Create({"--output", "secret"}, "read_repo"));
  EXPECT_EQ(typo.exit_code, 6);
  EXPECT_THAT(typo.error, HasSubstr("did you mean 'read_repository'? Reason FIELD_INVALID"));
  const std::string field = "token.scopes[0]";
  const std::size_t first = typo.error.find(field);
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(typo.error.find(field, first + 1), std::string::npos) << typo.error;
}

TEST_F(CommandLineTest, ExplainTakesEveryVerbOfTheApi) {
  const std::string user = std::to_string(house_.demo_user());
  for (const char* verb : {"create", "rotate", "read", "revoke", "reconcile", "audit"}) {
    std::vector<std::string> words = {"explain", "--verb", verb, "--output", "table"};
    const std::string name = verb;
    if (name != "reconcile" && name != "audit") words.insert(words.end(), {"--user", user});
    if (name == "create" || name == "rotate") {
      words.insert(words.end(), {"--display-name", "n", "--scopes", "read_user"});
    }
    const Finished run = Run(words);
    EXPECT_EQ(run.exit_code, name == "create" ? 0 : 3) << verb << ": " << run.error;
    EXPECT_THAT(run.out, testing::ContainsRegex("^(Allowed by the role|Denied: )")) << verb;
  }
}

TEST_F(CommandLineTest, TheBrokerHasAVersionAndTheMetricsOfAProcess) {
  const Finished version = RunProcess({std::getenv("TOKENBROKERD"), "--version"}, {});
  EXPECT_EQ(version.exit_code, 0) << version.error;
  EXPECT_THAT(version.out, testing::MatchesRegex("tokenbrokerd [0-9]+\\.[0-9]+\\.[0-9]+\n"));
  const std::string page = house_.Fetch("/metrics");
  EXPECT_THAT(page, HasSubstr("version=\"" + version.out.substr(13, version.out.size() - 14) + "\""));
  for (const char* name : {"process_resident_memory_bytes", "process_virtual_memory_bytes", "process_cpu_seconds_total",
                           "process_start_time_seconds", "process_open_fds", "process_max_fds"}) {
    EXPECT_THAT(page, HasSubstr(std::string("\n") + name + " ")) << name;
  }
}

}  // namespace
}  // namespace tokenbroker
