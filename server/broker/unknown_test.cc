// Adopting and revoking what the reconciler reported: exactly that, or nothing.

#include "server/broker/broker_fixture.h"
#include "server/domain/marker.h"
#include "server/telemetry/metrics_page.h"

namespace tokenbroker {
namespace {

// Of hours and long minutes; nothing here hangs on seconds.
constexpr Duration kStep = seconds(10);

class UnknownTest : public BrokerTest {
 protected:
  // A token of user 42 that an earlier ledger knew.
  std::int64_t Plant(const std::string& description, Duration left = hours(5)) {
    MintSpec spec;
    spec.target = {"main", TargetKind::kUser, 42, "demo"};
    spec.name = UpstreamNameOf("nightly", "tb1", MakeSortableId(loop_.Now(), random_));
    spec.description = description;
    spec.scopes = {"read_user"};
    spec.expires_at = DateOf(loop_.Now() + left) + std::chrono::days(2);
    return gitlab_.Plant(spec);
  }
  std::string By(const std::string& caller, Duration left) {
    return UpstreamDescriptionOf(caller, loop_.Now() + left, "scan");
  }
  Findings Found() { return *loop_.Finish(broker_->ListUnknown(CallerNamed("warden"))); }
  absl::StatusOr<std::vector<Token>> TakeIn(UnknownChoice choice, const std::string& caller = "warden") {
    return loop_.Finish(broker_->TakeInUnknown({}, CallerNamed(caller), std::move(choice)));
  }
  bool Lives(std::int64_t id) {
    for (const UpstreamToken& each : gitlab_.live()) {
      if (each.id == id) return true;
    }
    return false;
  }
};

TEST_F(UnknownTest, IsOpenedByItsVerbAlone) {
  for (const std::string caller : {"ci", "other"}) {
    EXPECT_EQ(ReasonOf(loop_.Finish(broker_->ListUnknown(CallerNamed(caller))).status()), "NOT_GRANTED");
    EXPECT_EQ(ReasonOf(TakeIn({{}, 0, false}, caller).status()), "NOT_GRANTED");
  }
}

TEST_F(UnknownTest, AnAdoptedTokenIsItsOwnersAndEndsOnTime) {
  const std::int64_t id = Plant(By("ci", hours(3)));
  StartJobs();
  Pass(minutes(5), seconds(5));
  const WallTime end = Found().unknown.at(id).expire_time.value();
  const absl::StatusOr<std::vector<Token>> adopted = TakeIn({{}, 1, false});
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  ASSERT_EQ(adopted->size(), 1u);
  const Token token = OnlyToken();  // As its owner sees it.
  EXPECT_EQ(token.state, TokenState::kActive);
  EXPECT_EQ(token.upstream_id, id);
  EXPECT_EQ(token.display_name, "nightly");
  EXPECT_EQ(token.purpose, "scan");
  EXPECT_EQ(token.expire_time, end);
  EXPECT_TRUE(Found().unknown.empty());
  Pass(hours(2), kStep);
  EXPECT_TRUE(Lives(id));
  EXPECT_TRUE(Found().unknown.empty());
  Pass(hours(1), kStep);
  EXPECT_FALSE(Lives(id));
  EXPECT_EQ(OnlyToken().state, TokenState::kExpired);
}

// GitLab kept no description: whoever adopts it owns it, and GitLab's date is its end.
TEST_F(UnknownTest, WithoutADescriptionWhatIsKnownIsUsed) {
  const std::int64_t id = Plant("");
  StartJobs();
  Pass(minutes(5), seconds(5));
  const absl::StatusOr<std::vector<Token>> adopted = TakeIn({{id}, std::nullopt, false});
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  EXPECT_EQ(adopted->front().owner, "warden");
  EXPECT_EQ(adopted->front().expire_time, MidnightOf(*gitlab_.token(id).expires_at));
}

TEST_F(UnknownTest, ADifferentNumberDoesNothing) {
  (void)Plant(By("ci", hours(3)));
  const std::int64_t two = Plant(By("ci", hours(3)));
  StartJobs();
  Pass(minutes(5), seconds(5));
  const std::vector<UnknownChoice> wrong = {{{}, 1, false}, {{}, 3, true}, {{two}, 2, true}, {{two, 4711}, 2, true}};
  for (const UnknownChoice& choice : wrong) {
    const absl::StatusOr<std::vector<Token>> refused = TakeIn(choice);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(ReasonOf(refused.status()), "COUNT_DIFFERS");
  }
  EXPECT_EQ(ReasonOf(TakeIn({{}, std::nullopt, true}).status()), "FIELD_INVALID");
  EXPECT_EQ(Found().unknown.size(), 2u);
  EXPECT_EQ(gitlab_.live().size(), 2u);
}

TEST_F(UnknownTest, ExactlyWhatWasChosenIsRevoked) {
  const std::int64_t one = Plant(By("ci", hours(3)));
  const std::int64_t two = Plant("");
  StartJobs();
  Pass(minutes(5), seconds(5));
  const absl::StatusOr<std::vector<Token>> revoked = TakeIn({{two}, 1, true});
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  Pass(seconds(10));
  EXPECT_TRUE(Lives(one));
  EXPECT_FALSE(Lives(two));
  EXPECT_EQ(Get(revoked->front().id, "warden")->state, TokenState::kRevoked);
  ASSERT_TRUE(TakeIn({{}, 1, true}).ok());
  Pass(seconds(10));
  EXPECT_TRUE(gitlab_.live().empty());
}

TEST_F(UnknownTest, WhatHasChangedSinceItWasListedIsLeftAlone) {
  const std::int64_t one = Plant(By("ci", hours(3)));
  const std::int64_t two = Plant(By("ci", hours(3)));
  StartJobs();
  Pass(minutes(5), seconds(5));
  gitlab_.RevokeByHand(two);
  EXPECT_EQ(ReasonOf(TakeIn({{}, 2, false}).status()), "TOKEN_CHANGED");
  EXPECT_EQ(Found().unknown.size(), 2u);
  Pass(minutes(12), kStep);
  EXPECT_EQ(Found().unknown.size(), 1u);
  EXPECT_TRUE(TakeIn({{one}, 1, false}).ok());
}

TEST_F(UnknownTest, WhatHasEndedCannotBeAdopted) {
  CreateRequest request = UserToken();
  request.scopes = {"read_user"};
  const Token token = Create(request)->token;
  StartJobs();
  const FakeGitLab::Backup backup = gitlab_.TakeBackup();
  Pass(seconds(5));
  ASSERT_TRUE(Revoke(token.id).ok());
  ASSERT_EQ(StateOf(token.id), TokenState::kRevoked);
  gitlab_.Restore(backup);  // It lives again.
  Pass(minutes(25), kStep);
  ASSERT_EQ(Found().unknown.size(), 1u);
  EXPECT_FALSE(Found().unknown.at(token.upstream_id).adoptable());
  EXPECT_EQ(ReasonOf(TakeIn({{token.upstream_id}, 1, false}).status()), "TOKEN_NOT_ADOPTABLE");
  EXPECT_EQ(ReasonOf(TakeIn({{}, 1, false}).status()), "COUNT_DIFFERS");
  ASSERT_TRUE(TakeIn({{token.upstream_id}, 1, true}).ok());
  Pass(seconds(10));
  EXPECT_FALSE(Lives(token.upstream_id));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
}

// However many there are: all of them are listed, also by the next process, and revoked in parts.
TEST_F(UnknownTest, TenThousandAreListedAcrossARestartAndRevoked) {
  constexpr int kMany = 10'250;
  for (int i = 0; i < kMany; ++i) (void)Plant(By("ci", hours(30)), hours(48));
  StartJobs();
  for (int i = 0; i < 60 && Found().total < kMany; ++i) Pass(minutes(1), kStep);
  ASSERT_EQ(Found().total, kMany);
  EXPECT_NE(MetricsPage(metrics_).find("tokenbroker_reconcile_unknown_tokens 10250\n"), std::string::npos);
  Restart();
  const auto page = [this](std::int64_t after) {
    return *loop_.Finish(broker_->ListUnknown(CallerNamed("warden"), after, 1000));
  };
  std::vector<std::int64_t> ids;
  for (Findings found = page(0);; found = page(ids.back())) {
    EXPECT_TRUE(found.walk_time.has_value());
    EXPECT_EQ(found.total, kMany);
    for (const auto& [id, token] : found.unknown) ids.push_back(id);
    if (!found.has_more) break;
  }
  ASSERT_EQ(ids.size(), static_cast<std::size_t>(kMany));

  EXPECT_EQ(ReasonOf(TakeIn({{}, kMany, true}).status()), "FIELD_INVALID");
  EXPECT_EQ(ReasonOf(TakeIn({std::vector(ids.begin(), ids.begin() + 251), 251, true}).status()), "FIELD_INVALID");
  for (std::size_t begin = 0; begin < ids.size(); begin += kMostUnknownAtOnce) {
    UnknownChoice part;
    part.revoke = true;
    const std::size_t end = std::min(begin + kMostUnknownAtOnce, ids.size());
    part.upstream_ids.assign(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                             ids.begin() + static_cast<std::ptrdiff_t>(end));
    ASSERT_EQ(TakeIn(part).status(), absl::OkStatus());
  }
  EXPECT_EQ(Found().total, 0);
  StartJobs();
  for (int i = 0; i < 300 && !gitlab_.live().empty(); ++i) Pass(seconds(1));
  EXPECT_TRUE(gitlab_.live().empty());
}

}  // namespace
}  // namespace tokenbroker
