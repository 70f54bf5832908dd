// The other commands of tokenctl, and what all have in common.

#include "client/tokenctl/tokenctl_fixture.h"

namespace tokenbroker {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

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
  EXPECT_EQ(json::parse(Run({"list"}).out).at("tokens").size(), 0U);
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

// A program that reads them must not meet a member that is only sometimes there.
TEST_F(TokenctlTest, JsonHasEmptyListsZerosAndEmptyMaps) {
  const json none = json::parse(Run({"list"}).out);
  EXPECT_EQ(none, json({{"tokens", json::array()}, {"nextPageToken", ""}}));
  ASSERT_EQ(Run(Create()).exit_code, 0);
  const json token = json::parse(Run({"get", "t1"}).out);
  EXPECT_EQ(token["labels"], json::object());
  EXPECT_EQ(token["accessLevel"], 0);
  EXPECT_EQ(token["purpose"], "");
  EXPECT_EQ(token["revokeReason"], "REVOKE_REASON_UNSPECIFIED");
  EXPECT_FALSE(token.contains("revokeTime"));  // Messages that are absent stay absent.
  EXPECT_EQ(token["target"], json({{"instance", ""}, {"user", "42"}}));
  EXPECT_EQ(json::parse(Run({"reconcile"}).out)["unknownTokens"], json::array());
  EXPECT_EQ(json::parse(Run({"policy", "violations"}).out)["violations"], json::array());
  EXPECT_EQ(json::parse(Run({"whoami"}).out)["grants"][0]["selfExtending"], false);
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
  EXPECT_EQ(json::parse(Run({"list"}).out).at("tokens").size(), 0U);
  EXPECT_EQ(json::parse(Run({"list", "--show-closed"}).out)["tokens"].size(), 1U);
}

TEST_F(TokenctlTest, WhoamiShowsIdentityAndGrants) {
  EXPECT_EQ(json::parse(Run({"whoami"}).out)["identity"], "spiffe://test/demo");
  const Finished table = OnTerminal({"whoami"});
  EXPECT_THAT(table.out, AllOf(HasSubstr("spiffe://test/demo"), HasSubstr("user:42,project:acme/*"),
                               HasSubstr("30 (developer)"), HasSubstr("8h")));
  EXPECT_THAT(table.out,
              AllOf(HasSubstr("min_ttl 5m, display_name ci-*, label env=prod, label team=pay*, max_active 20, "
                              "creates_per_minute 6, not_after 2030-01-02T03:04:05Z (in "),
                    HasSubstr("), max_chain_age 30d\n")));
}

TEST_F(TokenctlTest, ExplainTakesEveryVerb) {
  for (const char* verb : {"read", "revoke"}) {
    Run({"explain", "--verb", verb, "--project", "acme/payments"});
    EXPECT_EQ(broker_.checks().back().verb(), verb);
    EXPECT_EQ(broker_.checks().back().token().target().project(), "acme/payments");
    EXPECT_FALSE(broker_.checks().back().token().has_ttl());
  }
  for (const char* verb : {"reconcile", "audit"}) {
    Run({"explain", "--verb", verb});
    EXPECT_EQ(broker_.checks().back().verb(), verb);
    EXPECT_EQ(broker_.checks().back().token().ByteSizeLong(), 0U);
  }
}

TEST_F(TokenctlTest, HasAVersion) {
  const Finished run = Run({"--version"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.out, MatchesRegex("tokenctl [0-9]+\\.[0-9]+\\.[0-9]+\n"));
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
  ASSERT_EQ(
      Run({"create", "--display-name", "a\x1b]0;x\x07", "--user", "42", "--scopes", "x", "-o", "secret"}).exit_code, 0);
  EXPECT_THAT(OnTerminal({"list"}).out, AllOf(HasSubstr("a\\u001b]0;x\\u0007"), Not(HasSubstr("\x1b"))));
  EXPECT_THAT(Run({"list"}).out, Not(HasSubstr("\x1b")));
  const Finished run = Refused({grpc::INVALID_ARGUMENT, "FIELD_INVALID", "\x1b[2J\nbad", {}, {}, {}}, Create());
  EXPECT_THAT(run.error, HasSubstr("\\u001b[2J\\nbad"));
}

TEST_F(TokenctlTest, RepeatsKeepTheRequestId) {
  broker_.PlanNext({grpc::ABORTED, "CREATE_IN_PROGRESS", "wait", {}, milliseconds(10), {}});
  ASSERT_EQ(Run(Create()).exit_code, 0);
  ASSERT_THAT(broker_.creates(), SizeIs(2));
  EXPECT_EQ(broker_.creates()[0].request_id(), broker_.creates()[1].request_id());
}

TEST_F(TokenctlTest, TraceVariablesPrintNothing) {
  Environment noisy = Variables();
  noisy.emplace_back("GRPC_TRACE", "all");
  noisy.emplace_back("GRPC_VERBOSITY", "debug");
  const Finished run = RunProcess(Line(Create()), noisy);
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.error, "");
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
