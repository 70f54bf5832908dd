// What the broker does when nobody calls: expiry, revocation until there is proof, looks.

#include <gtest/gtest.h>

#include <future>

#include "server/broker/broker_fixture.h"
#include "server/domain/expiry.h"

namespace tokenbroker {
namespace {

class LifecycleTest : public BrokerTest {
 protected:
  Token Make(CreateRequest request) {
    const absl::StatusOr<Created> created = Create(request);
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? created->token : Token();
  }
};

TEST_F(LifecycleTest, ATokenLivesToItsEndAndNotLonger) {
  StartJobs();
  CreateRequest request = UserToken();
  request.ttl = minutes(1);
  const Token token = Make(request);
  Pass(seconds(59));
  EXPECT_EQ(gitlab_.live().size(), 1u);
  EXPECT_EQ(StateOf(token.id), TokenState::kActive);
  Pass(seconds(2));
  EXPECT_TRUE(gitlab_.live().empty());
  EXPECT_EQ(StateOf(token.id), TokenState::kExpired);
}

TEST_F(LifecycleTest, ADueTokenIsRevokedThoughGitLabAsksForAPause) {
  StartJobs();
  CreateRequest request = UserToken();
  request.ttl = minutes(1);
  const Token token = Make(request);
  slots_->PauseAll(loop_.Boot() + minutes(2));
  Pass(seconds(62));
  EXPECT_TRUE(gitlab_.live().empty());
  EXPECT_EQ(StateOf(token.id), TokenState::kExpired);
}

TEST_F(LifecycleTest, WhatWasDueWhileTheBrokerWasDownIsRevokedAtItsStart) {
  CreateRequest request = UserToken();
  request.ttl = minutes(1);
  const Token token = Make(request);
  loop_.Advance(hours(2));
  EXPECT_EQ(gitlab_.live().size(), 1u);
  Restart();
  StartJobs();
  Pass(seconds(2));
  EXPECT_EQ(StateOf(token.id), TokenState::kExpired);
}

TEST_F(LifecycleTest, ARevocationIsProvedAtOnceWhileGitLabAnswers) {
  const Token token = Make(UserToken());
  const absl::StatusOr<Token> revoked = Revoke(token.id);
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(revoked->state, TokenState::kRevoked);
  EXPECT_EQ(revoked->revoke_reason, RevokeReason::kRequested);
  EXPECT_TRUE(gitlab_.live().empty());
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoked);  // Idempotent, and GitLab is not asked again.
  EXPECT_EQ(gitlab_.deletes(), 1);
}

TEST_F(LifecycleTest, ARevocationHappensThoughGitLabIsDown) {
  StartJobs();
  const Token token = Make(UserToken());
  gitlab_.set_down(true);
  const absl::StatusOr<Token> revoking = Revoke(token.id);
  ASSERT_TRUE(revoking.ok()) << revoking.status();
  EXPECT_EQ(revoking->state, TokenState::kRevoking);
  Pass(minutes(5));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoking);
  gitlab_.set_down(false);
  Pass(seconds(20));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  EXPECT_TRUE(gitlab_.live().empty());
}

TEST_F(LifecycleTest, ARefusedDeleteIsParkedAndTriedAgain) {
  StartJobs();
  const Token token = Make(UserToken());
  for (int i = 0; i < 4; ++i) gitlab_.PlanNext(FakeGitLab::End::kRefused);
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  EXPECT_EQ(loop_.Finish(ledger_->Count())->parked, 1);
  Pass(minutes(1));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  EXPECT_EQ(loop_.Finish(ledger_->Count())->parked, 0);
}

TEST_F(LifecycleTest, AbsenceIsProofOnlyIfTheIssuerWouldSeeIt) {
  StartJobs();
  const Token token = Make(UserToken());
  gitlab_.Forget(token.upstream_id);
  gitlab_.set_issuer_is_admin(false);
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  Pass(settle_);
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoking);
  gitlab_.set_issuer_is_admin(true);
  Pass(hours(1));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
}

TEST_F(LifecycleTest, GitLabsOwnMidnightIsProof) {
  StartJobs();
  const Token token = Make(UserToken());
  gitlab_.set_issuer_is_admin(false);
  gitlab_.Forget(token.upstream_id);
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  loop_.Advance(MidnightOf(*token.upstream_expire_date) - loop_.Now());
  Pass(hours(1) + minutes(1));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
}

TEST_F(LifecycleTest, ALostAnswerIsFoundByTheFirstLook) {
  StartJobs();
  gitlab_.PlanNext(FakeGitLab::End::kLostAfter);
  EXPECT_FALSE(Create(UserToken()).ok());
  const Token token = OnlyToken();
  Pass(seconds(89));
  EXPECT_EQ(gitlab_.live().size(), 1u);  // Nothing earlier: GitLab may still be at work.
  Pass(seconds(3));
  EXPECT_TRUE(gitlab_.live().empty());
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  EXPECT_EQ(Get(token.id)->revoke_reason, RevokeReason::kOrphan);
}

TEST_F(LifecycleTest, NothingFoundClosesTheIntentAfterSettleAndNotBefore) {
  StartJobs();
  gitlab_.PlanNext(FakeGitLab::End::kLostBefore);
  EXPECT_FALSE(Create(UserToken()).ok());
  const TokenId id = OnlyToken().id;
  Pass(minutes(10));
  EXPECT_EQ(StateOf(id), TokenState::kPending);
  Pass(seconds(7));
  EXPECT_EQ(StateOf(id), TokenState::kAbandoned);
}

// The project is deleted while a response is lost, and the credential is no administrator's.
TEST_F(LifecycleTest, ASweepThatCannotBeMadeIsTriedEachHourAndEndsWithGitLabsDate) {
  StartJobs();
  gitlab_.set_issuer_is_admin(false);
  gitlab_.PlanNext(FakeGitLab::End::kLostBefore);
  CreateRequest request = ProjectToken();
  request.ttl = hours(24);
  EXPECT_FALSE(Create(request).ok());
  const Token token = OnlyToken();
  gitlab_.RemoveProject(7);
  const auto attempts = [&] { return loop_.Finish(ledger_->Get(token.id))->attempts; };
  Pass(hours(3), minutes(1));
  EXPECT_EQ(StateOf(token.id), TokenState::kPending);
  EXPECT_EQ(loop_.Finish(ledger_->Count())->parked, 1);
  const int before = attempts();
  Pass(hours(6), minutes(1));
  EXPECT_LE(attempts() - before, 6);
  EXPECT_GE(attempts() - before, 5);

  const WallTime date = MidnightOf(UpstreamDateFor(token.expire_time, Duration(0)));
  loop_.Advance(date - loop_.Now() - seconds(10));
  Pass(seconds(5));
  EXPECT_EQ(StateOf(token.id), TokenState::kPending);
  Pass(hours(1) + minutes(10), minutes(1));
  EXPECT_EQ(StateOf(token.id), TokenState::kAbandoned);
  EXPECT_EQ(loop_.Finish(ledger_->Count())->parked, 0);
  Pass(hours(24), minutes(1));
  EXPECT_FALSE(loop_.Finish(ledger_->NextDue())->has_value());
}

TEST_F(LifecycleTest, ASweepIsMadeSoonAfterGitLabIsBack) {
  StartJobs();
  gitlab_.PlanNext(FakeGitLab::End::kLostAfter);
  EXPECT_FALSE(Create(UserToken()).ok());
  const TokenId id = OnlyToken().id;
  gitlab_.set_down(true);
  Pass(hours(2), seconds(10));
  gitlab_.set_down(false);
  Pass(seconds(35));
  EXPECT_EQ(StateOf(id), TokenState::kRevoked);
  EXPECT_TRUE(gitlab_.live().empty());
}

struct LateCase {
  std::string name;
  Duration late_by;
  Duration dead_by;
};
class LateTest : public LifecycleTest, public testing::WithParamInterface<LateCase> {};

TEST_P(LateTest, APostThatIsCarriedOutLateIsDeadAfterTheNextLook) {
  StartJobs();
  gitlab_.set_late_by(GetParam().late_by);
  gitlab_.PlanNext(FakeGitLab::End::kLate);
  EXPECT_FALSE(Create(UserToken()).ok());
  const TokenId id = OnlyToken().id;
  Pass(minutes(11));
  loop_.Advance(GetParam().dead_by - minutes(11));
  Pass(seconds(5));
  EXPECT_TRUE(gitlab_.live().empty());
  EXPECT_EQ(StateOf(id), TokenState::kRevoked);
}

INSTANTIATE_TEST_SUITE_P(Delays, LateTest,
                         testing::ValuesIn<LateCase>({
                             {"ThirtySeconds", seconds(30), minutes(12)},
                             {"FiveMinutes", minutes(5), minutes(12)},
                             {"AfterSettle", minutes(20), hours(1) + seconds(5)},
                             {"TwoHours", hours(2), hours(24) + seconds(5)},
                         }),
                         [](const auto& info) { return info.param.name; });

TEST_F(LifecycleTest, ALookIsTakenUpAfterARestart) {
  gitlab_.PlanNext(FakeGitLab::End::kLostAfter);
  EXPECT_FALSE(Create(UserToken()).ok());
  const TokenId id = OnlyToken().id;
  Restart();
  StartJobs();
  Pass(seconds(95));
  EXPECT_EQ(StateOf(id), TokenState::kRevoked);
}

// The host's clock is an hour ahead after the start: the row is younger than it seems, and its POST is still under way.
TEST_F(LifecycleTest, AStartWithAClockThatIsAheadClosesNoRowTooEarly) {
  gitlab_.set_late_by(minutes(5));
  gitlab_.PlanNext(FakeGitLab::End::kLate);
  EXPECT_FALSE(Create(UserToken()).ok());
  const TokenId id = OnlyToken().id;
  Stop();
  loop_.StepWall(hours(1));
  gitlab_.set_skew(-hours(1));
  Open();
  StartJobs();
  Pass(minutes(4));
  EXPECT_EQ(StateOf(id), TokenState::kPending);
  Pass(settle_ - minutes(4) + seconds(5));
  EXPECT_EQ(StateOf(id), TokenState::kRevoked);
  EXPECT_TRUE(gitlab_.live().empty());
}

TEST_F(LifecycleTest, ATokenThatExtendedItselfIsHuntedDownByItsFamily) {
  StartJobs();
  CreateRequest request = UserToken();
  request.scopes = {"api"};
  request.ttl = minutes(1);
  const Token token = Make(request);
  const std::int64_t child = gitlab_.HolderRotates(token.upstream_id);
  gitlab_.HolderRotates(child);
  EXPECT_EQ(gitlab_.live().size(), 1u);
  Pass(seconds(63));
  EXPECT_TRUE(gitlab_.live().empty());
  EXPECT_EQ(StateOf(token.id), TokenState::kExpired);
}

TEST_F(LifecycleTest, OneThatExtendsItselfForEverIsParkedWithTheAlarm) {
  StartJobs();
  CreateRequest request = UserToken();
  request.scopes = {"api"};
  const Token token = Make(request);
  gitlab_.set_before_delete([this] {
    for (const UpstreamToken& each : gitlab_.live()) gitlab_.HolderRotates(each.id);
  });
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  EXPECT_EQ(loop_.Finish(ledger_->Count())->parked, 1);
  gitlab_.set_before_delete(nullptr);
  Pass(minutes(1));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  EXPECT_TRUE(gitlab_.live().empty());
}

TEST_F(LifecycleTest, RevokeOfAPendingTokenEndsTheCreate) {
  StartJobs();
  gitlab_.set_mint_takes(seconds(10));
  std::optional<absl::StatusOr<Created>> answer;
  broker_->scope().Spawn<absl::StatusOr<Created>>(
      broker_->Create({}, CallerNamed("ci"), UserToken()),
      [&answer](absl::StatusOr<Created> created) { answer = std::move(created); });
  ASSERT_TRUE(loop_.RunUntil([&] { return gitlab_.posts() == 1; }));
  const TokenId id = OnlyToken().id;
  EXPECT_EQ(Revoke(id)->state, TokenState::kRevoking);
  EXPECT_EQ(StateOf(id), TokenState::kRevoking);  // Every reader sees it from now on.
  Pass(seconds(12));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(ReasonOf(answer->status()), "UPSTREAM_TOO_LATE");
  EXPECT_EQ(StateOf(id), TokenState::kRevoked);
  EXPECT_TRUE(gitlab_.live().empty());
}

TEST_F(LifecycleTest, OthersTokensAreReadAndRevokedByGrantAlone) {
  const Token token = Make(UserToken());
  const absl::Status foreign = Get(token.id, "other").status();
  const TokenId never(26, '0');
  absl::Status absent = Get(never, "other").status();
  EXPECT_EQ(foreign.code(), absent.code());
  EXPECT_EQ(ReasonOf(foreign), ReasonOf(absent));
  EXPECT_FALSE(Revoke(token.id, "other").ok());
  EXPECT_EQ(gitlab_.live().size(), 1u);
  EXPECT_TRUE(Get(token.id, "warden").ok());
  EXPECT_EQ(Revoke(token.id, "warden")->state, TokenState::kRevoked);
}

TEST_F(LifecycleTest, ListsInPagesThatBelongToTheirCaller) {
  for (int i = 0; i < 5; ++i) {
    Make(UserToken());
    loop_.Advance(milliseconds(5));
  }
  ListRequest request;
  request.page_size = 2;
  std::vector<TokenId> seen;
  do {
    const absl::StatusOr<ListPage> page = loop_.Finish(broker_->List(CallerNamed("ci"), request));
    ASSERT_TRUE(page.ok()) << page.status();
    for (const Token& token : page->tokens) seen.push_back(token.id);
    request.page_token = page->next_page_token;
  } while (!request.page_token.empty());
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_TRUE(std::is_sorted(seen.rbegin(), seen.rend()));

  request.page_size = 2;
  request.page_token.clear();
  const std::string token = loop_.Finish(broker_->List(CallerNamed("ci"), request))->next_page_token;
  for (const std::string& bad : {token + "x", std::string("x"), std::string(600, 'A'), std::string("MTIz")}) {
    request.page_token = bad;
    EXPECT_EQ(ReasonOf(loop_.Finish(broker_->List(CallerNamed("ci"), request)).status()), "PAGE_TOKEN_INVALID");
  }
  request.page_token = token;
  EXPECT_EQ(ReasonOf(loop_.Finish(broker_->List(CallerNamed("other"), request)).status()), "PAGE_TOKEN_INVALID");
  request.show_closed = true;
  EXPECT_EQ(ReasonOf(loop_.Finish(broker_->List(CallerNamed("ci"), request)).status()), "PAGE_TOKEN_INVALID");
}

// A list that takes long keeps the ledger's thread for lists: expiry does without it.
TEST_F(LifecycleTest, ExpiryWaitsForNoList) {
  CreateRequest request = UserToken();
  request.ttl = minutes(1);
  const absl::StatusOr<Created> created = Create(request);
  ASSERT_TRUE(created.ok());
  std::promise<void> opened;
  const std::shared_future<void> gate = opened.get_future().share();
  ListQuery slow;
  slow.visible = [gate](const Token&) {
    gate.wait();
    return true;
  };
  broker_->scope().Spawn<absl::StatusOr<TokenList>>(ledger_->List(slow), [](const absl::StatusOr<TokenList>&) {});
  loop_.RunUntilIdle();
  broker_->StartLifecycle();
  for (int i = 0; i < 70 && !gitlab_.live().empty(); ++i) {
    loop_.Advance(seconds(1));
    for (int round = 0; round < 4; ++round) {
      (void)loop_.Finish(ledger_->Get(created->token.id));
      (void)loop_.Finish(ledger_->Abandon("none", ""));
    }
  }
  EXPECT_TRUE(gitlab_.live().empty());
  EXPECT_EQ(StateOf(created->token.id), TokenState::kExpired);
  opened.set_value();
}

}  // namespace
}  // namespace tokenbroker
