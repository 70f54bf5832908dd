// tokenctl create: what is sent, and where the secret goes.

#include <sys/stat.h>

#include <filesystem>

#include "client/tokenctl/tokenctl_fixture.h"

namespace tokenbroker {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

TEST_F(TokenctlTest, CreateSendsWhatWasAskedFor) {
  const Finished run = Run({"create",
                            "--display-name",
                            "deploy",
                            "--project",
                            "acme/payments",
                            "--instance",
                            "main",
                            "--scopes",
                            "read_api,read_registry",
                            "--scopes",
                            "read_user",
                            "--access-level",
                            "reporter",
                            "--expire-time",
                            "2030-01-02T03:04:05.5+01:00",
                            "--purpose",
                            "release",
                            "--label",
                            "team=payments",
                            "--label",
                            "env=",
                            "--request-id",
                            "8f14e45f-ceea-467f-a0e6-2f4d2c5b1a3e",
                            "--output",
                            "secret"});
  ASSERT_EQ(run.exit_code, 0) << run.error;
  ASSERT_THAT(broker_.creates(), SizeIs(1));
  const v1::CreateTokenRequest request = broker_.creates()[0];
  EXPECT_EQ(request.request_id(), "8f14e45f-ceea-467f-a0e6-2f4d2c5b1a3e");
  const v1::Token& token = request.token();
  EXPECT_EQ(token.display_name(), "deploy");
  EXPECT_EQ(token.target().project(), "acme/payments");
  EXPECT_EQ(token.target().instance(), "main");
  EXPECT_THAT(token.scopes(), testing::ElementsAre("read_api", "read_registry", "read_user"));
  EXPECT_EQ(token.access_level(), 20);
  EXPECT_EQ(token.expire_time().seconds(), 1'893'549'845);
  EXPECT_EQ(token.expire_time().nanos(), 500'000'000);
  EXPECT_EQ(token.purpose(), "release");
  EXPECT_EQ(token.labels().at("team"), "payments");
  EXPECT_EQ(token.labels().at("env"), "");
}

TEST_F(TokenctlTest, CreatesForAnHourUnlessToldOtherwise) {
  ASSERT_EQ(Run(Create()).exit_code, 0);
  ASSERT_EQ(Run(Create({"--ttl", "90s"})).exit_code, 0);
  EXPECT_EQ(broker_.creates().at(0).token().ttl().seconds(), 3600);
  EXPECT_EQ(broker_.creates().at(1).token().ttl().seconds(), 90);
}

// A CI log or a redirected file must not get the secret unasked, and one that nobody gets must not be made.
TEST_F(TokenctlTest, CreateInAPipeSaysWhereTheSecretGoes) {
  for (const std::vector<std::string>& form : {std::vector<std::string>{}, {"--output", "json"}, {"-o", "table"}}) {
    const Finished run = Run(Typed(form));
    EXPECT_EQ(run.exit_code, 2);
    EXPECT_THAT(run.error,
                AllOf(HasSubstr("--output secret"), HasSubstr("--secret-file PATH"), HasSubstr("nothing was sent")));
    EXPECT_EQ(run.out, "");
  }
  const Finished json_on_terminal = OnTerminal(Typed({"--output", "json"}));
  EXPECT_EQ(json_on_terminal.exit_code, 2);
  EXPECT_THAT(json_on_terminal.error, HasSubstr("--secret-file PATH"));
  EXPECT_THAT(broker_.creates(), IsEmpty());
}

TEST_F(TokenctlTest, ASecretFileHoldsTheSecretAndTheOutputDoesNot) {
  const std::string path = folder_.Path("secret");
  const Finished run = Run(Typed({"--secret-file", path}));
  ASSERT_EQ(run.exit_code, 0) << run.error;
  EXPECT_EQ(Content(path), "glpat-fake_secret");
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  const json answer = json::parse(run.out);
  EXPECT_EQ(answer.size(), 1U);
  EXPECT_EQ(answer["token"]["name"], "tokens/t1");
  EXPECT_EQ(answer["token"]["displayName"], "nightly");
  EXPECT_EQ(answer["token"]["state"], "TOKEN_STATE_ACTIVE");
  EXPECT_THAT(std::string(answer["token"]["expireTime"]), MatchesRegex("20..-..-..T..:..:...*Z"));
  EXPECT_THAT(run.out, AllOf(Not(HasSubstr("secret\"")), Not(HasSubstr("glpat-"))));

  const std::string other = folder_.Path("other");
  const Finished table = OnTerminal(Typed({"--secret-file", other}));
  ASSERT_EQ(table.exit_code, 0) << table.error;
  EXPECT_THAT(table.out, AllOf(StartsWith("secret: in " + other + "\n"), Not(HasSubstr("glpat-"))));
  EXPECT_EQ(Content(other), "glpat-fake_secret");
}

TEST_F(TokenctlTest, ASecretFileIsNeverOverwritten) {
  const std::string path = folder_.Path("secret");
  WriteFileOrDie(path, "precious");
  std::filesystem::create_symlink(folder_.Path("nowhere"), folder_.Path("link"));
  const std::vector<std::pair<std::string, std::string>> bad = {{path, "it exists"},
                                                                {folder_.Path("link"), "it exists"},
                                                                {folder_.Path("no/such/folder"), "No such file"},
                                                                {folder_.Path(""), "Is a directory"}};
  for (const auto& [file, why] : bad) {
    const Finished run = Run(Typed({"--secret-file", file}));
    EXPECT_EQ(run.exit_code, 2) << file;
    EXPECT_THAT(run.error,
                AllOf(HasSubstr("--secret-file: cannot make '" + file + "': " + why), HasSubstr("nothing was sent")));
  }
  EXPECT_EQ(Content(path), "precious");
  EXPECT_FALSE(std::filesystem::exists(folder_.Path("nowhere")));
  EXPECT_THAT(broker_.creates(), IsEmpty());
}

TEST_F(TokenctlTest, AFailedCreateLeavesNoSecretFile) {
  const std::string path = folder_.Path("secret");
  EXPECT_EQ(Refused({grpc::PERMISSION_DENIED, "NOT_GRANTED", "not granted", {}, {}, {}}, Typed({"--secret-file", path}))
                .exit_code,
            3);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(TokenctlTest, ASecretThatIsInItsFileIsNotLost) {
  const std::string path = folder_.Path("secret");
  const Finished run = RunIntoFullDisk(Line(Typed({"--secret-file", path})), Variables());
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.error, AllOf(HasSubstr("No space left"), HasSubstr("the secret of tokens/t1 is in " + path),
                               Not(HasSubstr("revoke"))));
  EXPECT_EQ(Content(path), "glpat-fake_secret");
}

TEST_F(TokenctlTest, CreateIsATableOnATerminal) {
  const Finished run = OnTerminal(Typed());
  ASSERT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.out, StartsWith("secret: glpat-fake_secret\n(It is shown this once and kept nowhere.)\n"));
  EXPECT_THAT(run.out, testing::ContainsRegex("state +ACTIVE\n"));
  EXPECT_THAT(run.out, testing::ContainsRegex("expires +20..-..-..T..:..:..Z \\(in 59m\\)\n"));
}

TEST_F(TokenctlTest, SecretAloneIsTheSecretAlone) {
  Finished run = Run(Create());
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.out, "glpat-fake_secret");
  EXPECT_EQ(run.error, "");
  run = OnTerminal(Create());
  EXPECT_EQ(run.out, "glpat-fake_secret\n");
}

TEST_F(TokenctlTest, ALostSecretIsReported) {
  const Finished run = RunIntoFullDisk(Line(Create()), Variables());
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.error, AllOf(HasSubstr("No space left"), HasSubstr("tokenctl revoke tokens/t1"),
                               Not(HasSubstr("glpat-fake_secret"))));
}

TEST_F(TokenctlTest, ValidateOnlyMakesNothing) {
  const Finished run = Run(Typed({"--validate-only", "--output", "table"}));
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.out, AllOf(StartsWith("Valid: this token would be made."), Not(HasSubstr("secret"))));
  EXPECT_TRUE(broker_.creates().at(0).validate_only());
  // There is no secret that could be lost.
  const Finished piped = Run(Typed({"--validate-only"}));
  EXPECT_EQ(piped.exit_code, 0) << piped.error;
  EXPECT_EQ(json::parse(piped.out)["token"]["state"], "TOKEN_STATE_VALIDATED");
}

}  // namespace
}  // namespace tokenbroker
