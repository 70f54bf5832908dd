// The main job, end to end: a real broker, a simulated GitLab, real certificates.

#include <gtest/gtest.h>

#include <set>

#include "client/call_error.h"
#include "tests/integration/broker_process.h"

namespace tokenbroker {
namespace {

using std::chrono::seconds;

class MainJobTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(house_.StartBroker()) << house_.output(); }
  void TearDown() override {
    EXPECT_EQ(house_.StopBroker(), 0) << house_.output();
    EXPECT_TRUE(house_.gitlab().UnknownRoutes().empty());
  }

  // What GitLab holds under this token's id.
  gitlab_sim::TokenView AtGitLab(const v1::Token& token) {
    for (const gitlab_sim::TokenView& each : house_.gitlab().Tokens()) {
      if (each.id == token.upstream().id()) return each;
    }
    ADD_FAILURE() << "not at GitLab: " << token.name();
    return {};
  }

  House house_;
};

TEST_F(MainJobTest, AUsersTokenIsMintedUsedListedAndRevoked) {
  const auto client = house_.Client();
  absl::StatusOr<CreatedToken> made = client->Create(UserTokenSpec(house_.demo_user()), {}, DeadlineIn(seconds(20)));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->token.state(), v1::TOKEN_STATE_ACTIVE);
  EXPECT_EQ(made->token.owner(), "callers/demo");
  EXPECT_EQ(made->token.display_name(), "DeepTraQ Integration Token");
  const gitlab_sim::TokenView at_gitlab = AtGitLab(made->token);
  EXPECT_TRUE(at_gitlab.live);
  EXPECT_EQ(at_gitlab.secret, made->secret.Reveal());
  EXPECT_EQ(at_gitlab.user_id, house_.demo_user());
  EXPECT_EQ(at_gitlab.scopes, (std::vector<std::string>{"read_user", "read_repository"}));
  EXPECT_TRUE(at_gitlab.name.starts_with("DeepTraQ Integration Token [tb:test:")) << at_gitlab.name;
  EXPECT_EQ(made->token.upstream().expire_date(), at_gitlab.expires_at);

  const absl::StatusOr<std::vector<v1::Token>> list = client->ListAll(false, DeadlineIn(seconds(20)));
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_EQ(list->size(), 1u);
  EXPECT_EQ(list->front().name(), made->token.name());
  ListOptions filtered;
  filtered.filter = "state=ACTIVE AND target=\"user:" + std::to_string(house_.demo_user()) + "\" AND scopes:read_user";
  filtered.order_by = "expire_time";
  EXPECT_EQ(client->ListAll(filtered, DeadlineIn(seconds(20)))->size(), 1u);
  filtered.filter = "state=REVOKING";
  EXPECT_TRUE(client->ListAll(filtered, DeadlineIn(seconds(20)))->empty());
  filtered.filter = "stat=ACTIVE";
  const absl::Status misspelt = client->ListAll(filtered, DeadlineIn(seconds(20))).status();
  ASSERT_EQ(CallErrorOf(misspelt).fields.size(), 1u) << misspelt;
  EXPECT_EQ(CallErrorOf(misspelt).fields[0].field, "filter");

  const absl::StatusOr<v1::Token> revoked = client->Revoke(made->token.name(), DeadlineIn(seconds(20)));
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(revoked->state(), v1::TOKEN_STATE_REVOKED);
  EXPECT_EQ(revoked->revoke_reason(), v1::REVOKE_REASON_REQUESTED);
  EXPECT_FALSE(AtGitLab(made->token).live);
  EXPECT_TRUE(client->ListAll(false, DeadlineIn(seconds(20)))->empty());
  EXPECT_EQ(client->ListAll(true, DeadlineIn(seconds(20)))->size(), 1u);
}

TEST_F(MainJobTest, AProjectsTokenHasABotAndALevel) {
  const auto client = house_.Client();
  absl::StatusOr<CreatedToken> made = client->Create(ProjectTokenSpec("ACME/payments"), {}, DeadlineIn(seconds(20)));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->token.target().project(), "acme/payments");  // GitLab's own spelling.
  const gitlab_sim::TokenView at_gitlab = AtGitLab(made->token);
  EXPECT_EQ(at_gitlab.owner_kind, gitlab_sim::UserKind::kProjectBot);
  EXPECT_EQ(at_gitlab.access_level, 20);
  EXPECT_EQ(at_gitlab.resource_id, house_.project());
  const absl::StatusOr<v1::Token> revoked = client->Revoke(made->token.name(), DeadlineIn(seconds(20)));
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(revoked->state(), v1::TOKEN_STATE_REVOKED);
  EXPECT_FALSE(AtGitLab(made->token).live);
}

TEST_F(MainJobTest, ATokenOfAMinuteIsDeadWithinTwoSecondsOfItsEnd) {
  const auto client = house_.Client();
  absl::StatusOr<CreatedToken> made =
      client->Create(UserTokenSpec(house_.demo_user(), seconds(60)), {}, DeadlineIn(seconds(20)));
  ASSERT_TRUE(made.ok()) << made.status();
  const std::int64_t expire = made->token.expire_time().seconds();
  std::chrono::system_clock::time_point died;
  ASSERT_TRUE(Eventually(
      [&] {
        died = std::chrono::system_clock::now();
        return !AtGitLab(made->token).live;
      },
      seconds(90)));
  const auto end = std::chrono::system_clock::time_point(seconds(expire));
  EXPECT_GE(died, end);
  EXPECT_LE(died, end + seconds(2));
  const absl::StatusOr<v1::Token> token = client->Get(made->token.name(), DeadlineIn(seconds(20)));
  ASSERT_TRUE(token.ok());
  EXPECT_TRUE(token->state() == v1::TOKEN_STATE_EXPIRED || token->state() == v1::TOKEN_STATE_REVOKING);
}

TEST_F(MainJobTest, ValidateOnlyAsksEverythingAndMakesNothing) {
  const auto client = house_.Client();
  CreateOptions options;
  options.validate_only = true;
  const absl::StatusOr<CreatedToken> checked =
      client->Create(UserTokenSpec(house_.demo_user()), options, DeadlineIn(seconds(20)));
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_TRUE(checked->secret.empty());
  EXPECT_TRUE(checked->token.name().empty());
  const absl::StatusOr<CreatedToken> refused = client->Create(UserTokenSpec(999), options, DeadlineIn(seconds(20)));
  EXPECT_EQ(CallErrorOf(refused.status()).reason, "NOT_GRANTED");
  EXPECT_EQ(house_.gitlab().CountRequests("POST", ""), 0);
}

TEST_F(MainJobTest, WhatIsNotGrantedIsRefusedBeforeGitLabIsAsked) {
  const auto client = house_.Client();
  house_.gitlab().ClearRequests();
  v1::Token spec = UserTokenSpec(house_.demo_user());
  spec.add_scopes("write_registry");
  const absl::Status refused = client->Create(spec, {}, DeadlineIn(seconds(20))).status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_EQ(CallErrorOf(refused).reason, "NOT_GRANTED");
  // A project that exists and one that does not, both outside every grant: the same answer.
  const absl::Status there = client->Create(ProjectTokenSpec("other/secret"), {}, DeadlineIn(seconds(20))).status();
  const absl::Status absent = client->Create(ProjectTokenSpec("other/absent"), {}, DeadlineIn(seconds(20))).status();
  EXPECT_EQ(there.message(), absent.message());
  EXPECT_EQ(CallErrorOf(there).reason, "NOT_GRANTED");
  EXPECT_EQ(house_.gitlab().CountRequests("", "/projects/|personal_access_tokens$"), 0);
  // Inside a grant the absence may be told.
  const absl::Status missing = client->Create(ProjectTokenSpec("acme/absent"), {}, DeadlineIn(seconds(20))).status();
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_EQ(CallErrorOf(missing).reason, "TARGET_NOT_FOUND");
}

TEST_F(MainJobTest, AnothersTokenDoesNotExist) {
  absl::StatusOr<CreatedToken> made =
      house_.Client()->Create(UserTokenSpec(house_.demo_user()), {}, DeadlineIn(seconds(20)));
  ASSERT_TRUE(made.ok()) << made.status();
  const auto other = house_.Client("spiffe://test/other");
  const std::string absent = "tokens/" + std::string(26, '0');
  for (const bool revoke : {false, true}) {
    const auto ask = [&](const std::string& name) {
      return revoke ? other->Revoke(name, DeadlineIn(seconds(20))).status()
                    : other->Get(name, DeadlineIn(seconds(20))).status();
    };
    const absl::Status foreign = ask(made->token.name());
    const absl::Status never = ask(absent);
    EXPECT_TRUE(absl::IsNotFound(foreign)) << foreign;
    std::string expected(never.message());
    expected.replace(expected.find(absent), absent.size(), made->token.name());
    EXPECT_EQ(foreign.message(), expected);
  }
  EXPECT_TRUE(AtGitLab(made->token).live);
}

TEST_F(MainJobTest, PeersThatAreNoCallersFailTheHandshake) {
  const absl::Status unknown = house_.Client("spiffe://test/nobody")->GetCaller(DeadlineIn(seconds(5))).status();
  EXPECT_TRUE(absl::IsUnavailable(unknown)) << unknown;
  // The log is written beside the call.
  EXPECT_TRUE(Eventually([&] { return house_.output().find("\"reason\":\"unknown_caller\"") != std::string::npos; }))
      << house_.output();

  TestAuthority stranger("Somebody else");
  const TestCertificate certificate = stranger.Issue(ClientSpec("spiffe://test/demo"));
  WriteFileOrDie(house_.path("stranger.pem"), certificate.certificate_pem);
  WriteFileOrDie(house_.path("stranger.key"), certificate.key_pem);
  TokenClientOptions options;
  options.address = house_.grpc_address();
  options.ca_file = house_.path("ca.pem");
  options.certificate_file = house_.path("stranger.pem");
  options.key_file = house_.path("stranger.key");
  options.retry.max_attempts = 1;
  const auto client = MakeTokenClient(options);
  ASSERT_TRUE(client.ok());
  EXPECT_TRUE(absl::IsUnavailable((*client)->GetCaller(DeadlineIn(seconds(20))).status()));
}

TEST_F(MainJobTest, TheSideDoorTells) {
  int status = 0;
  house_.Fetch("/livez", &status);
  EXPECT_EQ(status, 200);
  house_.Fetch("/readyz", &status);
  EXPECT_EQ(status, 200);
  house_.Fetch("/other", &status);
  EXPECT_EQ(status, 404);
  ASSERT_TRUE(house_.Client()->Create(UserTokenSpec(house_.demo_user()), {}, DeadlineIn(seconds(20))).ok());
  const std::string metrics = house_.Fetch("/metrics", &status);
  EXPECT_EQ(status, 200);
  for (const char* line : {"tokenbroker_rpc_requests_total{code=\"OK\",method=\"CreateToken\"} 1",
                           "tokenbroker_upstream_requests_total{operation=\"mint\",outcome=\"done\"} 1",
                           "tokenbroker_decisions_total{", "tokenbroker_build_info{"}) {
    EXPECT_NE(metrics.find(line), std::string::npos) << line << "\n" << metrics;
  }
}

}  // namespace
}  // namespace tokenbroker
