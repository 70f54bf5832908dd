// Runs the real tokenctl against a broker that is fake behind a real mutual-TLS connection.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "client/fake_broker.h"
#include "tests/support/subprocess.h"

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

using Environment = std::vector<std::pair<std::string, std::string>>;

class TokenctlTest : public testing::Test {
 protected:
  TokenctlTest() : broker_(authority_), folder_(authority_, "spiffe://test/demo") {}

  Environment Variables() const {
    return {{"TOKENBROKER_ADDRESS", broker_.address()},
            {"TOKENBROKER_CA", folder_.Path("ca.pem")},
            {"TOKENBROKER_CERT", folder_.Path("cert.pem")},
            {"TOKENBROKER_KEY", folder_.Path("key.pem")}};
  }

  static std::vector<std::string> Line(std::vector<std::string> words) {
    words.insert(words.begin(), "client/tokenctl/tokenctl");
    return words;
  }
  Finished Run(const std::vector<std::string>& words) const { return RunProcess(Line(words), Variables()); }
  Finished OnTerminal(const std::vector<std::string>& words) const { return RunOnTerminal(Line(words), Variables()); }

  static std::vector<std::string> Create(std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"create", "--display-name", "nightly", "--user", "42", "--scopes", "read_user"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  // What tokenctl says and how it ends when the broker refuses `words` like this.
  Finished Refused(const Refusal& refusal, const std::vector<std::string>& words) {
    broker_.PlanNext(refusal);
    return Run(words);
  }

  TestAuthority authority_;
  FakeBroker broker_;
  ClientFolder folder_;
};

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
                            "8f14e45f-ceea-467f-a0e6-2f4d2c5b1a3e"});
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

TEST_F(TokenctlTest, CreateIsJsonInAPipe) {
  const Finished run = Run(Create());
  ASSERT_EQ(run.exit_code, 0) << run.error;
  const json answer = json::parse(run.out);
  EXPECT_EQ(answer["secret"], "glpat-fake_secret");
  EXPECT_EQ(answer["token"]["name"], "tokens/t1");
  EXPECT_EQ(answer["token"]["displayName"], "nightly");
  EXPECT_EQ(answer["token"]["state"], "TOKEN_STATE_ACTIVE");
  EXPECT_THAT(std::string(answer["token"]["expireTime"]), MatchesRegex("20..-..-..T..:..:...*Z"));
}

TEST_F(TokenctlTest, CreateIsATableOnATerminal) {
  const Finished run = OnTerminal(Create());
  ASSERT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.out, StartsWith("secret: glpat-fake_secret\n(It is shown this once and kept nowhere.)\n"));
  EXPECT_THAT(run.out, testing::ContainsRegex("state +ACTIVE\n"));
  EXPECT_THAT(run.out, testing::ContainsRegex("expires +20..-..-..T..:..:..Z \\(in 59m\\)\n"));
}

TEST_F(TokenctlTest, SecretAloneIsTheSecretAlone) {
  Finished run = Run(Create({"--output", "secret"}));
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.out, "glpat-fake_secret");
  EXPECT_EQ(run.error, "");
  run = OnTerminal(Create({"--output", "secret"}));
  EXPECT_EQ(run.out, "glpat-fake_secret\n");
}

TEST_F(TokenctlTest, ALostSecretIsReported) {
  const Finished run = RunIntoFullDisk(Line(Create()), Variables());
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.error, AllOf(HasSubstr("No space left"), HasSubstr("tokenctl revoke tokens/t1"),
                               Not(HasSubstr("glpat-fake_secret"))));
}

TEST_F(TokenctlTest, ValidateOnlyMakesNothing) {
  const Finished run = Run(Create({"--validate-only", "--output", "table"}));
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.out, AllOf(StartsWith("Valid: this token would be made."), Not(HasSubstr("secret"))));
  EXPECT_TRUE(broker_.creates().at(0).validate_only());
}

TEST_F(TokenctlTest, GetShowsATokenByNameOrId) {
  ASSERT_EQ(Run(Create()).exit_code, 0);
  const Finished by_name = Run({"get", "tokens/t1"});
  ASSERT_EQ(by_name.exit_code, 0) << by_name.error;
  EXPECT_EQ(json::parse(by_name.out)["upstream"]["userId"], "42");
  const Finished by_id = Run({"get", "t1", "--output", "table"});
  ASSERT_EQ(by_id.exit_code, 0) << by_id.error;
  EXPECT_THAT(by_id.out, testing::ContainsRegex("GitLab's name +nightly \\[tb:test:t1\\]"));
}

TEST_F(TokenctlTest, ListReadsAllPagesOrOne) {
  EXPECT_EQ(json::parse(Run({"list"}).out).value("tokens", json::array()).size(), 0U);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(Run(Create()).exit_code, 0);
  EXPECT_EQ(json::parse(Run({"list"}).out)["tokens"].size(), 3U);

  const json page = json::parse(Run({"list", "--page-size", "2"}).out);
  EXPECT_EQ(page["tokens"].size(), 2U);
  const std::string next = page["nextPageToken"];
  const json last = json::parse(Run({"list", "--page-token", next}).out);
  EXPECT_EQ(last["tokens"].size(), 1U);

  const Finished table = OnTerminal({"list"});
  EXPECT_THAT(table.out, StartsWith("NAME       STATE   TARGET   SCOPES     EXPIRES"));
  EXPECT_THAT(table.out, HasSubstr("tokens/t3  ACTIVE  user:42  read_user"));
}

TEST_F(TokenctlTest, ListSendsItsFilter) {
  ASSERT_EQ(Run({"list", "--filter", "scopes:api", "--order-by", "expire_time desc"}).exit_code, 0);
  ASSERT_EQ(Run({"list", "--state", "Revoking"}).exit_code, 0);
  ASSERT_EQ(Run({"list", "--state", "expired", "--filter", "owner=ci", "--page-size", "5"}).exit_code, 0);
  const std::vector<v1::ListTokensRequest> sent = broker_.lists();
  ASSERT_THAT(sent, SizeIs(3));
  EXPECT_EQ(sent[0].filter(), "scopes:api");
  EXPECT_EQ(sent[0].order_by(), "expire_time desc");
  EXPECT_FALSE(sent[0].show_closed());
  EXPECT_EQ(sent[1].filter(), "state=REVOKING");
  EXPECT_FALSE(sent[1].show_closed());
  EXPECT_EQ(sent[2].filter(), "state=EXPIRED AND owner=ci");
  EXPECT_TRUE(sent[2].show_closed());
  EXPECT_EQ(sent[2].page_size(), 5);
  EXPECT_EQ(Run({"list", "--state", "gone"}).exit_code, 2);
}

TEST_F(TokenctlTest, RevokeEndsAToken) {
  ASSERT_EQ(Run(Create()).exit_code, 0);
  const Finished run = OnTerminal({"revoke", "t1"});
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_EQ(run.out, "tokens/t1 is REVOKED (REQUESTED).\n");
  EXPECT_EQ(json::parse(Run({"revoke", "t1"}).out)["state"], "TOKEN_STATE_REVOKED");
  EXPECT_EQ(json::parse(Run({"list"}).out).value("tokens", json::array()).size(), 0U);
  EXPECT_EQ(json::parse(Run({"list", "--show-closed"}).out)["tokens"].size(), 1U);
}

TEST_F(TokenctlTest, WhoamiShowsIdentityAndGrants) {
  EXPECT_EQ(json::parse(Run({"whoami"}).out)["identity"], "spiffe://test/demo");
  const Finished table = OnTerminal({"whoami"});
  EXPECT_THAT(table.out, AllOf(HasSubstr("spiffe://test/demo"), HasSubstr("user:42,project:acme/*"),
                               HasSubstr("30 (developer)"), HasSubstr("8h")));
}

TEST_F(TokenctlTest, ExplainSaysWhichRuleAndWhatInstead) {
  const std::vector<std::string> allowed = {"explain", "--display-name", "n", "--user", "42", "--scopes", "read_user"};
  EXPECT_EQ(OnTerminal(allowed).exit_code, 0);
  EXPECT_THAT(OnTerminal(allowed).out,
              HasSubstr("Allowed by the role reader: roles.reader.grants[0] (policy.yaml:12:5); decision dec1510n1d"));
  EXPECT_EQ(json::parse(Run(allowed).out)["rule"]["role"], "reader");
  EXPECT_EQ(broker_.checks().back().verb(), "create");

  std::vector<std::string> denied = {"explain",  "--display-name", "n",     "--group", "acme",  "--scopes",
                                     "api,sudo", "--access-level", "owner", "--verb",  "rotate"};
  const Finished table = OnTerminal(denied);
  EXPECT_EQ(table.exit_code, 3);
  EXPECT_THAT(table.out, AllOf(HasSubstr("Denied: the policy grants"), HasSubstr("Reason NOT_GRANTED"),
                               HasSubstr("scopes  api, sudo  read_user"), Not(HasSubstr("display name"))));
  const Finished piped = Run(denied);
  EXPECT_EQ(piped.exit_code, 3);
  EXPECT_EQ(json::parse(piped.out)["closest"]["scopes"], json::array({"read_user"}));
  EXPECT_EQ(broker_.checks().back().verb(), "rotate");
  EXPECT_EQ(broker_.checks().back().token().target().group(), "acme");
  EXPECT_EQ(Refused({grpc::NOT_FOUND, "TARGET_NOT_FOUND", "no such user", {}, {}, {}}, allowed).exit_code, 4);
}

TEST_F(TokenctlTest, FlagsWinOverVariables) {
  Environment elsewhere = Variables();
  elsewhere[0].second = "localhost:1";
  const Finished run = RunProcess(Line({"whoami", "--address", broker_.address()}), elsewhere);
  EXPECT_EQ(run.exit_code, 0) << run.error;
}

TEST_F(TokenctlTest, ControlCharactersAreShownNotObeyed) {
  ASSERT_EQ(Run({"create", "--display-name", "a\x1b]0;x\x07", "--user", "42", "--scopes", "x"}).exit_code, 0);
  EXPECT_THAT(OnTerminal({"list"}).out, AllOf(HasSubstr("a\\u001b]0;x\\u0007"), Not(HasSubstr("\x1b"))));
  EXPECT_THAT(Run({"list"}).out, Not(HasSubstr("\x1b")));
  const Finished run = Refused({grpc::INVALID_ARGUMENT, "FIELD_INVALID", "\x1b[2J\nbad", {}, {}, {}}, Create());
  EXPECT_THAT(run.error, HasSubstr("\\u001b[2J\\nbad"));
}

TEST_F(TokenctlTest, AnErrorIsOneParagraph) {
  const Finished run = Refused({grpc::INVALID_ARGUMENT,
                                "FIELD_INVALID",
                                "2 fields are not valid",
                                {{"token.scopes[0]", "unknown scope 'read_apy'; did you mean 'read_api'?"},
                                 {"token.ttl", "30s is shorter than a minute"}},
                                {},
                                {{"limit", "60s"}}},
                               Create());
  EXPECT_EQ(run.exit_code, 6);
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.error,
            "tokenctl: the request is not valid: 2 fields are not valid. Field token.scopes[0]: unknown scope "
            "'read_apy'; did you mean 'read_api'? Field token.ttl: 30s is shorter than a minute. Reason FIELD_INVALID, "
            "code INVALID_ARGUMENT, limit 60s. Correct it and call again; nothing was made.\n");
}

TEST_F(TokenctlTest, DeniedIsThree) {
  Finished run = Refused({grpc::PERMISSION_DENIED, "NOT_GRANTED", "not granted", {}, {}, {}}, Create());
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_THAT(run.error, AllOf(HasSubstr("Reason NOT_GRANTED"), HasSubstr("`tokenctl whoami`")));
  broker_.PlanNext({grpc::UNAUTHENTICATED, "CERTIFICATE_EXPIRED", "expired", {}, {}, {}});
  run = Refused({grpc::UNAUTHENTICATED, "CERTIFICATE_EXPIRED", "expired", {}, {}, {}}, {"whoami"});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_THAT(run.error, HasSubstr("Renew the certificate"));
}

TEST_F(TokenctlTest, NotFoundIsFour) {
  const Finished run = Run({"get", "tokens/none"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.error, StartsWith("tokenctl: not found: no such token. Reason TOKEN_NOT_FOUND"));
}

TEST_F(TokenctlTest, UnavailableIsFive) {
  const Finished nobody = Run({"whoami", "--address", "localhost:1", "--timeout", "1s"});
  EXPECT_EQ(nobody.exit_code, 5);
  EXPECT_THAT(nobody.error, AllOf(StartsWith("tokenctl: unavailable: "), HasSubstr(". Code UNAVAILABLE. "),
                                  HasSubstr("a broker listens at localhost:1")));
  const Finished quota = Refused({grpc::RESOURCE_EXHAUSTED, "QUOTA", "20 of 20 tokens", {}, seconds(3), {}}, Create());
  EXPECT_EQ(quota.exit_code, 5);
  EXPECT_THAT(quota.error, HasSubstr("Try again after 3s."));
}

TEST_F(TokenctlTest, AnOpenEndSaysHowToRepeat) {
  const Finished run =
      Refused({grpc::ABORTED, "UPSTREAM_OUTCOME_UNKNOWN", "GitLab did not answer", {}, seconds(90), {}}, Create());
  EXPECT_EQ(run.exit_code, 7);
  const std::string id = broker_.creates().at(0).request_id();
  EXPECT_THAT(run.error, HasSubstr("Repeat the call with --request-id " + id + " after 1m30s"));
}

TEST_F(TokenctlTest, ConflictIsSeven) {
  const Finished run = Refused(
      {grpc::ALREADY_EXISTS, "TOKEN_EXISTS", "made already", {}, {}, {{"token", "tokens/t9"}, {"state", "ACTIVE"}}},
      Create());
  EXPECT_EQ(run.exit_code, 7);
  EXPECT_THAT(run.error, AllOf(HasSubstr("token tokens/t9"), HasSubstr("without this --request-id")));
  EXPECT_EQ(Refused({grpc::FAILED_PRECONDITION, "TARGET_MOVED", "moved", {}, {}, {}}, Create()).exit_code, 7);
}

TEST_F(TokenctlTest, AnythingElseIsOne) {
  EXPECT_EQ(Refused({grpc::INTERNAL, "", "oops", {}, {}, {}}, {"whoami"}).exit_code, 1);
}

TEST_F(TokenctlTest, RepeatsKeepTheRequestId) {
  broker_.PlanNext({grpc::ABORTED, "CREATE_IN_PROGRESS", "wait", {}, milliseconds(10), {}});
  ASSERT_EQ(Run(Create()).exit_code, 0);
  ASSERT_THAT(broker_.creates(), SizeIs(2));
  EXPECT_EQ(broker_.creates()[0].request_id(), broker_.creates()[1].request_id());
}

TEST_F(TokenctlTest, AMissingFileOrVariableIsNamed) {
  const Finished nothing = RunProcess(Line({"whoami"}), {});
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_EQ(nothing.error,
            "tokenctl: no address of a broker is given; give --address HOST:PORT or set TOKENBROKER_ADDRESS.\n");
  std::filesystem::remove(folder_.Path("key.pem"));
  const Finished no_key = Run({"whoami"});
  EXPECT_EQ(no_key.exit_code, 2);
  EXPECT_EQ(no_key.error, "tokenctl: cannot read the key file " + folder_.Path("key.pem") +
                              ": No such file or directory; give --key FILE or set TOKENBROKER_KEY.\n");
}

TEST_F(TokenctlTest, TraceVariablesPrintNothing) {
  Environment noisy = Variables();
  noisy.emplace_back("GRPC_TRACE", "all");
  noisy.emplace_back("GRPC_VERBOSITY", "debug");
  const Finished run = RunProcess(Line(Create()), noisy);
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.error, "");
}

struct Misuse {
  std::vector<std::string> words;
  std::string says;
};

TEST_F(TokenctlTest, MisuseIsTwoAndSendsNothing) {
  const std::vector<Misuse> misuses = {
      {{}, "a command is missing"},
      {{"frobnicate"}, "frobnicate"},
      {{"get"}, "name is required"},
      {{"create", "--user", "1", "--scopes", "x"}, "--display-name is required"},
      {{"create", "--display-name", "x", "--scopes", "x"}, "[--user,--project,--group,--service-account] is required"},
      {Create({"--project", "p"}), "[--user,--project,--group,--service-account] is required"},
      {{"create", "--display-name", "x", "--user", "", "--scopes", "x"}, "--user: is empty"},
      {{"create", "--display-name", "x", "--project", "", "--scopes", "x"}, "--project: is empty"},
      {Create({"--ttl", "soon"}), "'soon' is no duration"},
      {Create({"--ttl", "1h", "--expire-time", "2030-01-01T00:00:00Z"}), "excludes"},
      {Create({"--expire-time", "tomorrow"}), "'tomorrow' is no time of RFC 3339"},
      {Create({"--access-level", "boss"}), "'boss' is no role"},
      {Create({"--label", "novalue"}), "'novalue' is not KEY=VALUE"},
      {Create({"--label", "a=1", "--label", "a=2"}), "'a' is given twice"},
      {Create({"--output", "yaml"}), "yaml"},
      {Create({"--output", "secret", "--validate-only"}), "makes no secret"},
      {{"list", "--output", "secret"}, "secret"},
      {{"whoami", "--timeout", "x"}, "'x' is no duration"},
      {{"whoami", "--address", "https://localhost:1"}, "without http:// or https://"},
  };
  for (const Misuse& misuse : misuses) {
    const Finished run = Run(misuse.words);
    EXPECT_EQ(run.exit_code, 2) << misuse.says;
    EXPECT_THAT(run.error, AllOf(StartsWith("tokenctl: "), HasSubstr(misuse.says)));
    EXPECT_EQ(run.out, "");
  }
  EXPECT_THAT(broker_.peers(), IsEmpty());
}

TEST_F(TokenctlTest, HelpNamesCommandsAndExitCodes) {
  const Finished help = Run({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* word : {"create", "get", "list", "revoke", "whoami", "TOKENBROKER_KEY", "Exit codes:"}) {
    EXPECT_THAT(help.out, HasSubstr(word));
  }
  EXPECT_THAT(Run({"create", "--help"}).out, AllOf(HasSubstr("--validate-only"), HasSubstr("Exit codes:")));
}

}  // namespace
}  // namespace tokenbroker
