// What tokenctl says of failures, and its exit codes.

#include <filesystem>

#include "client/tokenctl/tokenctl_fixture.h"

namespace tokenbroker {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

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

// The broker's message has the first field and its description already.
TEST_F(TokenctlTest, AnErrorSaysEachFieldOnce) {
  const Finished run = Refused({grpc::INVALID_ARGUMENT,
                                "FIELD_INVALID",
                                "token.ttl: 30s is shorter than a minute (and 1 more)",
                                {{"token.ttl", "30s is shorter than a minute"}, {"token.purpose", "is too long"}},
                                {},
                                {}},
                               Create());
  EXPECT_EQ(
      run.error,
      "tokenctl: the request is not valid: token.ttl: 30s is shorter than a minute (and 1 more). Field "
      "token.purpose: is too long. Reason FIELD_INVALID, code INVALID_ARGUMENT. Correct it and call again; nothing "
      "was made.\n");
}

TEST_F(TokenctlTest, OnlyACreateSaysThatNothingWasMade) {
  const std::vector<std::vector<std::string>> others = {
      {"list"},
      {"revoke", "t1"},
      {"get", "t1"},
      {"whoami"},
      {"explain", "--display-name", "n", "--user", "42", "--scopes", "read_user"}};
  for (const auto& words : others) {
    EXPECT_THAT(Refused({grpc::INVALID_ARGUMENT, "FIELD_INVALID", "bad", {}, {}, {}}, words).error,
                testing::EndsWith(" Correct it and call again.\n"));
    EXPECT_THAT(Refused({grpc::RESOURCE_EXHAUSTED, "SLOW", "bad", {}, {}, {}}, words).error,
                testing::EndsWith(" Try again later.\n"));
  }
  EXPECT_THAT(Refused({grpc::RESOURCE_EXHAUSTED, "SLOW", "bad", {}, {}, {}}, Create()).error,
              testing::EndsWith(" Nothing was made; try again later.\n"));
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
      {Typed({"--output", "yaml"}), "yaml"},
      {Create({"--validate-only"}), "makes no secret"},
      {Typed({"--validate-only", "--secret-file", "x"}), "makes no secret"},
      {Create({"--secret-file", "x"}), "excludes --output secret"},
      {Typed({"--secret-file", ""}), "--secret-file: is empty"},
      {{"explain", "--verb", "frob"}, "frob"},
      {{"explain", "--verb", "revoke"}, "--service-account (for the verb revoke) is required"},
      {{"explain", "--user", "1", "--scopes", "x"}, "--display-name (for the verb create) is required"},
      {{"explain", "--verb", "rotate", "--user", "1", "--display-name", "x"}, "--scopes (for the verb rotate)"},
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

// By a flag or by the environment: gRPC would connect to the remainder of a port, or to something else.
TEST_F(TokenctlTest, AnInvalidAddressIsTwoAndNamesTheRule) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"localhost:99999", "the port must be a decimal number from 1 to 65535"},
      {"localhost:0", "the port must be a decimal number from 1 to 65535"},
      {"localhost:0x1", "the port must be a decimal number from 1 to 65535"},
      {"localhost", "the port is missing"},
      {"local host:1", "blanks, line ends and control characters are not allowed"},
      {"localhost:1\n", "blanks, line ends and control characters are not allowed"},
      {"localhost:1/", "it is written host:port"},
      {"unix:/run/broker", "it is written host:port"},
      {"::1:8443", "an IPv6 address is written in brackets"}};
  for (const auto& [address, rule] : bad) {
    Environment variables = Variables();
    variables[0].second = address;
    for (const Finished& run : {Run({"whoami", "--address", address}), RunProcess(Line({"whoami"}), variables)}) {
      EXPECT_EQ(run.exit_code, 2) << address;
      EXPECT_THAT(run.error, AllOf(StartsWith("tokenctl: the broker's address '"), HasSubstr("' is invalid: " + rule),
                                   HasSubstr("give --address HOST:PORT or set TOKENBROKER_ADDRESS.\n")));
      EXPECT_THAT(run.error, testing::Not(HasSubstr("1\n'")));
    }
  }
  EXPECT_THAT(broker_.peers(), IsEmpty());
}

}  // namespace
}  // namespace tokenbroker
