// A GitLab that is down, slow, redirects, answers HTML or loses its answers; and a broker that is killed meanwhile.

#include <gtest/gtest.h>

#include "client/call_error.h"
#include "tests/integration/broker_process.h"

namespace tokenbroker {
namespace {

using gitlab_sim::Fault;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kMint[] = "/api/v4/users/[0-9]+/personal_access_tokens$";

class UpstreamTroubleTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(house_.StartBroker()) << house_.output();
    client_ = house_.Client();
  }
  void TearDown() override { EXPECT_TRUE(house_.gitlab().UnknownRoutes().empty()); }

  absl::StatusOr<CreatedToken> Create(seconds deadline = seconds(20)) {
    return client_->Create(UserTokenSpec(house_.demo_user()), {}, DeadlineIn(deadline));
  }
  int LiveMarked() {
    int live = 0;
    for (const gitlab_sim::TokenView& each : house_.gitlab().LiveTokens()) {
      live += each.name.find("[tb:test:") != std::string::npos ? 1 : 0;
    }
    return live;
  }

  v1::TokenState StateOf(const std::string& name) {
    const absl::StatusOr<v1::Token> token = client_->Get(name, DeadlineIn(seconds(20)));
    EXPECT_TRUE(token.ok()) << token.status();
    return token.ok() ? token->state() : v1::TOKEN_STATE_UNSPECIFIED;
  }

  House house_;
  std::unique_ptr<TokenClient> client_;
};

struct TroubleCase {
  std::string name;
  Fault fault;
  absl::StatusCode code;
  std::string reason;
};

class UpstreamAnswerTest : public UpstreamTroubleTest, public testing::WithParamInterface<TroubleCase> {};

TEST_P(UpstreamAnswerTest, BecomesAClearErrorAndTheBrokerGoesOn) {
  Fault fault = GetParam().fault;
  house_.gitlab().Plan(std::move(fault).On("POST", kMint));
  const absl::Status failed = Create().status();
  EXPECT_EQ(failed.code(), GetParam().code) << failed;
  EXPECT_EQ(CallErrorOf(failed).reason, GetParam().reason) << failed;
  EXPECT_EQ(house_.gitlab().CountRequests("POST", kMint), 1);  // Never twice.
  EXPECT_LE(failed.message().size(), 1024u);
  if (GetParam().reason != "UPSTREAM_RATE_LIMITED") {
    EXPECT_TRUE(Create().ok());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Answers, UpstreamAnswerTest,
    testing::ValuesIn<TroubleCase>({
        {"Html502", Fault::HtmlError(502), absl::StatusCode::kAborted, "UPSTREAM_OUTCOME_UNKNOWN"},
        {"NotResponding", Fault::NotResponding(), absl::StatusCode::kAborted, "UPSTREAM_OUTCOME_UNKNOWN"},
        {"Html200", Fault::HtmlOk(), absl::StatusCode::kAborted, "UPSTREAM_OUTCOME_UNKNOWN"},
        {"Redirect", Fault::Redirect(301, "https://evil.example/"), absl::StatusCode::kAborted,
         "UPSTREAM_OUTCOME_UNKNOWN"},
        {"TooMany", Fault::TooManyRequests(1), absl::StatusCode::kResourceExhausted, "UPSTREAM_RATE_LIMITED"},
    }),
    [](const auto& info) { return info.param.name; });

TEST_F(UpstreamTroubleTest, AConnectionThatDiesAfterThePostMeansUnknownAndOnePost) {
  ASSERT_TRUE(Create().ok());  // The connection is a used one from here on.
  for (const Fault::Action action : {Fault::Action::kActThenClose, Fault::Action::kActThenReset}) {
    house_.gitlab().ClearRequests();
    Fault fault;
    fault.action = action;
    house_.gitlab().Plan(std::move(fault).On("POST", kMint));
    const absl::Status lost = Create().status();
    EXPECT_TRUE(absl::IsAborted(lost)) << lost;
    EXPECT_EQ(CallErrorOf(lost).reason, "UPSTREAM_OUTCOME_UNKNOWN");
    EXPECT_TRUE(CallErrorOf(lost).retry_after.has_value());
    EXPECT_EQ(house_.gitlab().CountRequests("POST", kMint), 1);
  }
}

// What stands in front of GitLab says that it is done; GitLab has not seen the request.
TEST_F(UpstreamTroubleTest, ASuccessThatGitLabDidNotWriteConfirmsNoRevocation) {
  const absl::StatusOr<CreatedToken> made = Create();
  ASSERT_TRUE(made.ok()) << made.status();
  house_.gitlab().Plan(Fault::Proxy(204).On("DELETE", "", -1));
  const absl::StatusOr<v1::Token> revoked = client_->Revoke(made->token.name(), DeadlineIn(seconds(20)));
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(revoked->state(), v1::TOKEN_STATE_REVOKING);
  EXPECT_EQ(LiveMarked(), 1);
  // Nor is it counted as GitLab's.
  const std::string metrics = house_.Fetch("/metrics");
  EXPECT_EQ(metrics.find(R"(requests_total{operation="revoke",outcome="done"})"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find(R"(requests_total{operation="revoke",outcome="unavailable"})"), std::string::npos) << metrics;
  house_.gitlab().ClearFaults();
  EXPECT_TRUE(Eventually([&] { return StateOf(made->token.name()) == v1::TOKEN_STATE_REVOKED; }, seconds(60)));
  EXPECT_EQ(LiveMarked(), 0);
}

TEST_F(UpstreamTroubleTest, A404OfALaggingReplicaConfirmsNoRevocation) {
  gitlab_sim::Settings settings = house_.gitlab().settings();
  settings.by_id_lag = std::chrono::hours(1);
  house_.gitlab().set_settings(settings);
  const absl::StatusOr<CreatedToken> made = Create();
  ASSERT_TRUE(made.ok()) << made.status();
  const absl::StatusOr<v1::Token> revoked = client_->Revoke(made->token.name(), DeadlineIn(seconds(20)));
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(revoked->state(), v1::TOKEN_STATE_REVOKING);
  EXPECT_EQ(LiveMarked(), 1);
  settings.by_id_lag = milliseconds(0);
  house_.gitlab().set_settings(settings);
  EXPECT_TRUE(Eventually([&] { return StateOf(made->token.name()) == v1::TOKEN_STATE_REVOKED; }, seconds(60)));
  EXPECT_EQ(LiveMarked(), 0);
}

// A proxy whose clock is ten days ahead answers for a while.
TEST_F(UpstreamTroubleTest, AProxysClockConfirmsNoMidnightAndStopsNoCreate) {
  const absl::StatusOr<CreatedToken> made = Create();
  ASSERT_TRUE(made.ok()) << made.status();
  house_.gitlab().Plan(Fault::Proxy(502, "<html></html>", std::chrono::hours(240)).On("", "", -1));
  const absl::StatusOr<v1::Token> revoked = client_->Revoke(made->token.name(), DeadlineIn(seconds(20)));
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(revoked->state(), v1::TOKEN_STATE_REVOKING);
  EXPECT_EQ(LiveMarked(), 1);
  house_.gitlab().ClearFaults();
  EXPECT_TRUE(Create().ok());
  EXPECT_TRUE(Eventually([&] { return StateOf(made->token.name()) == v1::TOKEN_STATE_REVOKED; }, seconds(60)));
}

TEST_F(UpstreamTroubleTest, AMovedProjectIsAPreconditionAndNothingIsSent) {
  house_.gitlab().MoveProject(house_.project(), "acme/billing");
  const absl::Status moved = client_->Create(ProjectTokenSpec("acme/payments"), {}, DeadlineIn(seconds(20))).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(moved)) << moved;
  EXPECT_EQ(CallErrorOf(moved).reason, "TARGET_MOVED");
  EXPECT_EQ(house_.gitlab().CountRequests("POST", ""), 0);
}

TEST_F(UpstreamTroubleTest, ACallerThatLeavesIsNotWaitedForAndItsTokenIsTakenBack) {
  Fault slow;
  slow.delay_after = milliseconds(3000);
  house_.gitlab().Plan(std::move(slow).On("POST", kMint));
  const absl::Status gone = Create(seconds(3)).status();  // More than the 2 s that a create needs at its start.
  EXPECT_TRUE(absl::IsDeadlineExceeded(gone)) << gone;
  ASSERT_TRUE(Eventually([&] { return house_.gitlab().CountRequests("DELETE", "personal_access_tokens/") == 1; }));
  ASSERT_TRUE(Eventually([&] { return LiveMarked() == 0; }));
  const absl::StatusOr<std::vector<v1::Token>> all = client_->ListAll(true, DeadlineIn(seconds(20)));
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->size(), 1u);
  EXPECT_EQ(all->front().revoke_reason(), v1::REVOKE_REASON_CALLER_GONE);
}

TEST_F(UpstreamTroubleTest, ARevocationThatWasAcknowledgedHappensThoughGitLabIsDownAndTheBrokerDies) {
  const absl::StatusOr<CreatedToken> made = Create();
  ASSERT_TRUE(made.ok()) << made.status();
  Fault down;
  down.action = Fault::Action::kClose;
  house_.gitlab().Plan(std::move(down).On("", "personal_access_tokens", -1));
  const absl::StatusOr<v1::Token> revoking = client_->Revoke(made->token.name(), DeadlineIn(seconds(20)));
  ASSERT_TRUE(revoking.ok()) << revoking.status();
  EXPECT_EQ(revoking->state(), v1::TOKEN_STATE_REVOKING);
  EXPECT_EQ(LiveMarked(), 1);
  house_.KillBroker();
  house_.gitlab().ClearFaults();
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  EXPECT_TRUE(Eventually([&] { return LiveMarked() == 0; }));
  client_ = house_.Client();
  EXPECT_TRUE(Eventually([&] {
    const absl::StatusOr<v1::Token> token = client_->Get(made->token.name(), DeadlineIn(seconds(20)));
    return token.ok() && token->state() == v1::TOKEN_STATE_REVOKED;
  }));
}

TEST_F(UpstreamTroubleTest, ARepeatReplacesATokenWhoseAnswerWasLostButNeverOneInUse) {
  CreateOptions options;
  options.request_id = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
  const auto create = [&] {
    return client_->Create(UserTokenSpec(house_.demo_user()), options, DeadlineIn(seconds(20)));
  };
  const absl::StatusOr<CreatedToken> first = create();
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::StatusOr<CreatedToken> second = create();  // As after a lost answer.
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE(first->token.name(), second->token.name());
  EXPECT_TRUE(Eventually([&] { return LiveMarked() == 1; }));

  gitlab_sim::TokenView view;
  for (const auto& each : house_.gitlab().LiveTokens()) {
    if (each.id == second->token.upstream().id()) view = each;
  }
  ASSERT_EQ(view.secret, second->secret.Reveal());
  // Its holder uses it: from now on no repeat may end it.
  ASSERT_EQ(UseToken(house_.gitlab().url() + "/api/v4/user", second->secret.Reveal()), 200);
  const absl::Status again = create().status();
  EXPECT_EQ(again.code(), absl::StatusCode::kAlreadyExists) << again;
  EXPECT_EQ(CallErrorOf(again).reason, "TOKEN_EXISTS");
  EXPECT_EQ(LiveMarked(), 1);

  v1::Token other = UserTokenSpec(house_.demo_user());
  other.set_display_name("something else");
  const absl::Status reused = client_->Create(other, options, DeadlineIn(seconds(20))).status();
  EXPECT_EQ(CallErrorOf(reused).reason, "REQUEST_ID_REUSED") << reused;
}

TEST_F(UpstreamTroubleTest, ADeadIssuerIsSaidToBeOneAndANewOneIsTakenUp) {
  ASSERT_TRUE(Create().ok());
  gitlab_sim::TokenSeed seed;
  for (const gitlab_sim::TokenView& each : house_.gitlab().Tokens()) {
    if (each.name == "broker") {
      house_.gitlab().RevokeToken(each.id);
      seed.user_id = each.user_id;
    }
  }
  const absl::Status dead = Create().status();
  EXPECT_TRUE(absl::IsUnavailable(dead)) << dead;
  EXPECT_EQ(CallErrorOf(dead).reason, "ISSUER_DEAD");
  WriteFileOrDie(house_.path("issuer"), house_.gitlab().AddToken(seed).secret + "\n");
  EXPECT_TRUE(Eventually([&] { return Create().ok(); }));
}

}  // namespace
}  // namespace tokenbroker
