#include <gtest/gtest.h>

#include "server/broker/broker_fixture.h"

namespace tokenbroker {
namespace {

struct EndCase {
  std::string name;
  FakeGitLab::End end;
  absl::StatusCode answer;
  std::string reason;
  TokenState state;
  std::size_t live_at_gitlab;
};

class CreateEndsTest : public BrokerTest, public testing::WithParamInterface<EndCase> {};

TEST_P(CreateEndsTest, TheLedgerTellsTheTruthWhateverGitLabDid) {
  gitlab_.PlanNext(GetParam().end);
  const absl::StatusOr<Created> created = Create(UserToken());
  EXPECT_EQ(created.status().code(), GetParam().answer) << created.status();
  EXPECT_EQ(ReasonOf(created.status()), GetParam().reason);
  EXPECT_EQ(OnlyToken().state, GetParam().state);
  EXPECT_EQ(gitlab_.live().size(), GetParam().live_at_gitlab);
  EXPECT_EQ(gitlab_.posts(), 1);
}

INSTANTIATE_TEST_SUITE_P(Ends, CreateEndsTest,
                         testing::ValuesIn<EndCase>({
                             {"Works", FakeGitLab::End::kWorks, absl::StatusCode::kOk, "", TokenState::kActive, 1},
                             {"Refused", FakeGitLab::End::kRefused, absl::StatusCode::kInvalidArgument,
                              "UPSTREAM_INVALID", TokenState::kAbandoned, 0},
                             {"LostBefore", FakeGitLab::End::kLostBefore, absl::StatusCode::kAborted,
                              "UPSTREAM_OUTCOME_UNKNOWN", TokenState::kPending, 0},
                             {"LostAfter", FakeGitLab::End::kLostAfter, absl::StatusCode::kAborted,
                              "UPSTREAM_OUTCOME_UNKNOWN", TokenState::kPending, 1},
                         }),
                         [](const auto& info) { return info.param.name; });

class CreateTest : public BrokerTest {};

// A denial but for its random id.
absl::Status WithoutDecision(absl::Status status) {
  EXPECT_TRUE(status.ErasePayload("tokenbroker/meta/decision_id")) << status;
  return status;
}

TEST_F(CreateTest, AnswersWithTheTokenAndItsSecret) {
  const absl::StatusOr<Created> created = Create(UserToken());
  ASSERT_TRUE(created.ok()) << created.status();
  const Token& token = created->token;
  EXPECT_EQ(created->secret.Reveal(), "glpat-fake-" + std::to_string(token.upstream_id));
  EXPECT_EQ(token.owner, "ci");
  EXPECT_EQ(token.upstream_name, "DeepTraQ Integration Token [tb:tb1:" + token.id + "]");
  EXPECT_EQ(token.target, (ResolvedTarget{"main", TargetKind::kUser, 42, "demo"}));
  EXPECT_EQ(token.expire_time, token.create_time + hours(1));
  EXPECT_EQ(gitlab_.token(token.upstream_id).name, token.upstream_name);
  ASSERT_EQ(gitlab_.specs().size(), 1u);
  EXPECT_EQ(gitlab_.specs()[0].description, "by=ci exp=" + std::to_string(MicrosOf(token.expire_time) / 1'000'000));
}

TEST_F(CreateTest, APolicysNoCostsGitLabNothing) {
  CreateRequest request = UserToken();
  request.scopes = {"read_user", "k8s_proxy"};
  EXPECT_EQ(ReasonOf(Create(request).status()), "NOT_GRANTED");
  const absl::StatusOr<Created> other = loop_.Finish(broker_->Create({}, CallerNamed("other"), UserToken()));
  EXPECT_EQ(ReasonOf(other.status()), "NOT_GRANTED");
  EXPECT_EQ(gitlab_.resolves(), 0);
  EXPECT_EQ(gitlab_.posts(), 0);
}

TEST_F(CreateTest, AbsenceIsToldInsideAGrantAlone) {
  CreateRequest inside = ProjectToken();
  inside.target.ref = "acme/absent";
  EXPECT_EQ(ReasonOf(Create(inside).status()), "TARGET_NOT_FOUND");
  CreateRequest by_id = ProjectToken();
  by_id.target.ref = "99";  // Could be any project.
  const absl::Status absent = Create(by_id).status();
  gitlab_.AddProject(98, "secret/plans");
  by_id.target.ref = "98";
  const absl::Status foreign = Create(by_id).status();
  EXPECT_EQ(WithoutDecision(absent), WithoutDecision(foreign));  // All other payloads included.
  EXPECT_EQ(ReasonOf(absent), "NOT_GRANTED");
}

TEST_F(CreateTest, AnAdministratorIsNoTarget) {
  CreateRequest request = UserToken();
  request.target.ref = "1";
  EXPECT_EQ(ReasonOf(Create(request).status()), "TARGET_FORBIDDEN");
  EXPECT_EQ(gitlab_.posts(), 0);
}

TEST_F(CreateTest, ASpellingDecidesNothing) {
  for (const char* ref : {"ACME/payments", "acme/Payments", "7"}) {
    CreateRequest request = ProjectToken();
    request.target.ref = ref;
    const absl::StatusOr<Created> created = Create(request);
    ASSERT_TRUE(created.ok()) << ref << created.status();
    EXPECT_EQ(created->token.target.path, "acme/payments");
  }
}

TEST_F(CreateTest, ACallWithTooLittleTimeIsRefusedBeforeItsIntent) {
  EXPECT_EQ(ReasonOf(Create(UserToken(), CallContext(loop_.Boot() + seconds(1))).status()), "DEADLINE_TOO_SHORT");
  EXPECT_EQ(gitlab_.posts(), 0);
  ListRequest all;
  all.show_closed = true;
  EXPECT_TRUE(loop_.Finish(broker_->List(CallerNamed("ci"), all))->tokens.empty());
}

TEST_F(CreateTest, ACallerThatLeavesGetsNothingAndLeavesNothing) {
  gitlab_.set_mint_takes(seconds(10));
  StartJobs();
  CancelSource source;
  std::optional<absl::StatusOr<Created>> answer;
  broker_->scope().Spawn<absl::StatusOr<Created>>(
      broker_->Create(CallContext(loop_.Boot() + seconds(30), source), CallerNamed("ci"), UserToken()),
      [&answer](absl::StatusOr<Created> created) { answer = std::move(created); });
  ASSERT_TRUE(loop_.RunUntil([&] { return gitlab_.posts() == 1; }));
  source.Cancel();
  Pass(seconds(15));
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(absl::IsCancelled(answer->status()));
  EXPECT_TRUE(gitlab_.live().empty());
  EXPECT_EQ(OnlyToken().revoke_reason, RevokeReason::kCallerGone);
  EXPECT_EQ(OnlyToken().state, TokenState::kRevoked);
}

TEST_F(CreateTest, WhatGitLabMadeOtherwiseIsTakenBack) {
  const std::vector<std::function<void(UpstreamToken&)>> spoils = {
      [](UpstreamToken& made) { made.name += "x"; },
      [](UpstreamToken& made) { made.user_id = 43; },
      [](UpstreamToken& made) { made.scopes.push_back("api"); },
      [](UpstreamToken& made) { made.access_level = 50; },
      [](UpstreamToken& made) { made.resource_type = "project"; },
      [](UpstreamToken& made) { made.expires_at.reset(); },
      [](UpstreamToken& made) { *made.expires_at += std::chrono::days(1); },
  };
  StartJobs();
  for (const auto& spoil : spoils) {
    gitlab_.SpoilNextAnswer(spoil);
    const absl::Status status = Create(UserToken()).status();
    EXPECT_EQ(ReasonOf(status), "UPSTREAM_MISMATCH") << status;
  }
  gitlab_.SpoilNextAnswer([](UpstreamToken& made) { made.active = false; });
  EXPECT_EQ(ReasonOf(Create(UserToken()).status()), "CLOCK_SKEW");
  Pass(seconds(3));
  EXPECT_TRUE(gitlab_.live().empty());
}

TEST_F(CreateTest, ATokenForAnotherProjectIsTakenBack) {
  StartJobs();
  gitlab_.SpoilNextAnswer([](UpstreamToken& made) { made.resource_id = 8; });
  EXPECT_EQ(ReasonOf(Create(ProjectToken()).status()), "UPSTREAM_MISMATCH");
  gitlab_.SpoilNextAnswer([](UpstreamToken& made) { made.resource_type = "group"; });
  EXPECT_EQ(ReasonOf(Create(ProjectToken()).status()), "UPSTREAM_MISMATCH");
  gitlab_.SpoilNextAnswer([](UpstreamToken& made) {  // As GitLab before 17.11 answers.
    made.resource_type.clear();
    made.resource_id = 0;
  });
  EXPECT_TRUE(Create(ProjectToken()).ok());
  Pass(seconds(3));
  EXPECT_EQ(gitlab_.live().size(), 1u);
}

// The latest date that GitLab allows counts from GitLab's own day.
TEST_F(CreateTest, TheLatestDateIsThatOfGitLabsClock) {
  gitlab_.set_max_lifetime_days(1);
  StartJobs();
  const WallTime midnight = MidnightOf(DateOf(loop_.Now()) + std::chrono::days(1));
  loop_.Advance(midnight - minutes(10) - loop_.Now());
  CreateRequest request = UserToken();
  request.ttl = hours(24);
  EXPECT_EQ(ReasonOf(Create(request).status()), "EXPIRATION_TOO_FAR");
  gitlab_.set_skew(minutes(14));
  loop_.Advance(minutes(2));  // What was resolved is asked for again, and GitLab's clock is known.
  const absl::StatusOr<Created> created = Create(request);
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->token.upstream_expire_date, DateOf(midnight) + std::chrono::days(1));
}

TEST_F(CreateTest, AShortenedDateShortensTheToken) {
  CreateRequest request = UserToken();
  request.ttl = hours(24 * 3);
  gitlab_.SpoilNextAnswer([](UpstreamToken& made) { *made.expires_at -= std::chrono::days(2); });
  const absl::StatusOr<Created> created = Create(request);
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->token.expire_time, MidnightOf(*created->token.upstream_expire_date));
  EXPECT_LT(created->token.expire_time, created->token.create_time + hours(24 * 3));
}

TEST_F(CreateTest, ClocksThatDifferTooMuchMakeNoTokens) {
  gitlab_.set_skew(minutes(16));
  EXPECT_EQ(ReasonOf(Create(UserToken()).status()), "CLOCK_SKEW");
  EXPECT_EQ(gitlab_.posts(), 0);
}

// Facts of the moment of the decision, not of a minute before.
TEST_F(CreateTest, AUserWhoHasBecomeAnAdministratorIsNoTarget) {
  ASSERT_TRUE(Create(UserToken()).ok());
  gitlab_.user(42).is_admin = true;
  loop_.Advance(seconds(11));
  EXPECT_EQ(ReasonOf(Create(UserToken()).status()), "TARGET_FORBIDDEN");
}

class WaitingCreateTest : public CreateTest {
 protected:
  // A create that waits for GitLab's pause to end.
  void Begin(CreateRequest request, Duration pause, Caller caller = CallerNamed("ci")) {
    slots_->PauseAll(loop_.Boot() + pause);
    result_.reset();
    broker_->scope().Spawn<absl::StatusOr<Created>>(
        broker_->Create(CallContext(), std::move(caller), std::move(request)),
        [this](absl::StatusOr<Created> created) { result_ = std::move(created); });
    Settle();
  }
  std::string End() {
    Pass(seconds(70));
    EXPECT_TRUE(result_.has_value());
    return result_.has_value() ? ReasonOf(result_->status()) : "none";
  }

  std::optional<absl::StatusOr<Created>> result_;
};

TEST_F(WaitingCreateTest, IsDecidedOnWhatGitLabSaysAfterTheWait) {
  ASSERT_TRUE(Create(UserToken()).ok());  // The target is known.
  Begin(UserToken(), seconds(30));
  gitlab_.user(42).is_admin = true;
  EXPECT_EQ(End(), "TARGET_FORBIDDEN");
  EXPECT_EQ(gitlab_.posts(), 1);
}

TEST_F(WaitingCreateTest, IsJudgedByWhoTheCallerIsAfterTheWait) {
  ASSERT_TRUE(Create(UserToken()).ok());
  bool is_known = true;
  Caller caller = CallerNamed("ci");
  caller.recognise_again = [&is_known]() -> absl::StatusOr<Caller> {
    if (is_known) return CallerNamed("ci");
    return Error(absl::StatusCode::kPermissionDenied, "UNKNOWN_CALLER", "who calls is no caller of the policy");
  };
  Begin(UserToken(), seconds(30), caller);
  is_known = false;
  EXPECT_EQ(End(), "UNKNOWN_CALLER");
  EXPECT_EQ(gitlab_.posts(), 1);
}

TEST_F(WaitingCreateTest, WithoutADeadlineWaitsAMinuteAtMost) {
  ASSERT_TRUE(Create(UserToken()).ok());
  Begin(UserToken(), hours(1));
  EXPECT_EQ(End(), "UPSTREAM_RATE_LIMITED");
}

// The first response was lost, or so it seemed: the credential is used while the repeat waits.
TEST_F(WaitingCreateTest, ARepeatEndsNoCredentialThatIsUsedMeanwhile) {
  CreateRequest request = UserToken();
  request.request_id = "6f1c1a0e-7f0a-4a3c-9a53-0d6a4c7c9f11";
  const absl::StatusOr<Created> first = Create(request);
  ASSERT_TRUE(first.ok()) << first.status();
  // Long enough for the read of the token to be over when the wait begins.
  gitlab_.set_after_get([this] { slots_->PauseAll(loop_.Boot() + seconds(30)); });
  Begin(request, Duration(0));
  gitlab_.set_after_get(nullptr);
  gitlab_.Use(first->token.upstream_id);
  EXPECT_EQ(End(), "TOKEN_EXISTS");
  EXPECT_EQ(StateOf(first->token.id), TokenState::kActive);
}

TEST_F(CreateTest, ValidateOnlyFailsAsTheRealCallAndMakesNothing) {
  CreateRequest request = UserToken();
  request.validate_only = true;
  const absl::StatusOr<Created> checked = Create(request);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_TRUE(checked->secret.empty());
  EXPECT_TRUE(checked->token.id.empty());
  request.target.ref = "43";
  EXPECT_EQ(ReasonOf(Create(request).status()), "NOT_GRANTED");
  EXPECT_EQ(gitlab_.posts(), 0);
}

TEST_F(CreateTest, ResolutionsAreBoundedAndRemembered) {
  for (int i = 0; i < 100; ++i) {
    CreateRequest request = ProjectToken();
    request.validate_only = true;
    ASSERT_TRUE(Create(request).ok());
  }
  EXPECT_EQ(gitlab_.resolves(), 1);
  absl::Status last;
  for (int i = 0; i < 60; ++i) {
    CreateRequest request = ProjectToken();
    request.target.ref = "acme/p" + std::to_string(i);
    last = Create(request).status();
  }
  EXPECT_EQ(ReasonOf(last), "RESOLUTIONS_EXHAUSTED") << last;
  EXPECT_EQ(gitlab_.resolves(), 60);
  loop_.Advance(minutes(1));
  EXPECT_EQ(ReasonOf(Create(ProjectToken()).status()), "");
}

// A caller's own load must not use up its budget of looks.
TEST_F(CreateTest, ManyAtATimeShareOneLook) {
  constexpr int kMany = 100;
  int made = 0;
  for (int i = 0; i < kMany; ++i) {
    broker_->scope().Spawn<absl::StatusOr<Created>>(
        broker_->Create({}, CallerNamed("ci"), UserToken()),
        [&made](const absl::StatusOr<Created>& created) { made += created.ok() ? 1 : 0; });
  }
  ASSERT_TRUE(loop_.RunUntil([this] { return broker_->scope().running() == 0; }));
  EXPECT_EQ(made, kMany);
  EXPECT_EQ(gitlab_.resolves(), 1);
}

TEST_F(CreateTest, ALookThatFailsIsNotSharedButTriedAgain) {
  gitlab_.set_down(true);
  std::vector<std::string> reasons;
  const auto note = [&reasons](const absl::StatusOr<Created>& created) {
    reasons.push_back(ReasonOf(created.status()));
  };
  for (int i = 0; i < 2; ++i) {
    broker_->scope().Spawn<absl::StatusOr<Created>>(broker_->Create({}, CallerNamed("ci"), UserToken()), note);
  }
  ASSERT_TRUE(loop_.RunUntil([this] { return broker_->scope().running() == 0; }));
  EXPECT_EQ(reasons, (std::vector<std::string>{"UPSTREAM_UNAVAILABLE", "UPSTREAM_UNAVAILABLE"}));
  EXPECT_EQ(gitlab_.resolves(), 2);
}

}  // namespace
}  // namespace tokenbroker
