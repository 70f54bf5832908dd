// The reconciler under the virtual clock: what it brings back, what it reports, and what it leaves alone.

#include <algorithm>

#include "server/broker/broker_fixture.h"
#include "server/domain/marker.h"
#include "server/telemetry/metrics_page.h"

namespace tokenbroker {
namespace {

// Of hours and long minutes; nothing here hangs on seconds.
constexpr Duration kStep = seconds(10);

class ReconcileTest : public BrokerTest {
 protected:
  // Long enough for the walk under way and one that begins after it.
  void TwoWalks() { Pass(minutes(25), kStep); }

  Findings Found() {
    absl::StatusOr<Findings> found = loop_.Finish(broker_->ListUnknown(CallerNamed("warden")));
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *std::move(found) : Findings();
  }
  std::vector<std::int64_t> UnknownIds() {
    std::vector<std::int64_t> ids;
    for (const auto& [id, token] : Found().unknown) ids.push_back(id);
    return ids;
  }
  bool Lives(std::int64_t upstream_id) const {
    const std::vector<UpstreamToken> live = gitlab_.live();
    return std::any_of(live.begin(), live.end(), [&](const UpstreamToken& each) { return each.id == upstream_id; });
  }
  CreateRequest Long(std::vector<std::string> scopes = {"read_user"}) {
    CreateRequest request = UserToken();
    request.ttl = hours(24 * 7);
    request.scopes = std::move(scopes);
    return request;
  }
  // A token at GitLab that nobody asked us for.
  std::int64_t Plant(const std::string& name, std::int64_t user_id = 42, const std::string& description = "") {
    MintSpec spec;
    spec.target = {"main", TargetKind::kUser, user_id, "demo"};
    spec.name = name;
    spec.description = description;
    spec.scopes = {"read_user"};
    spec.expires_at = DateOf(loop_.Now()) + std::chrono::days(10);
    return gitlab_.Plant(spec);
  }
};

TEST_F(ReconcileTest, UseAndFreshnessAreBroughtBack) {
  const absl::StatusOr<Created> made = Create(Long());
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(Get(made->token.id)->reconcile_time, std::nullopt);
  StartJobs();
  gitlab_.Use(made->token.upstream_id);
  const WallTime used = loop_.Now();
  TwoWalks();
  const Token token = *Get(made->token.id);
  EXPECT_EQ(token.state, TokenState::kActive);
  EXPECT_EQ(token.last_used_time, used);
  ASSERT_TRUE(token.reconcile_time.has_value());
  EXPECT_LE(loop_.Now() - *token.reconcile_time, minutes(12));
  EXPECT_TRUE(UnknownIds().empty());
}

TEST_F(ReconcileTest, WhatWasRevokedAtGitLabIsRevokedHere) {
  const TokenId id = Create(Long())->token.id;
  const TokenId stays = Create(Long())->token.id;
  StartJobs();
  gitlab_.RevokeByHand(Get(id)->upstream_id);
  const int deletes = gitlab_.deletes();
  TwoWalks();
  EXPECT_EQ(StateOf(id), TokenState::kRevoked);
  EXPECT_EQ(Get(id)->revoke_reason, RevokeReason::kUpstream);
  EXPECT_EQ(StateOf(stays), TokenState::kActive);
  EXPECT_EQ(gitlab_.deletes(), deletes);
}

TEST_F(ReconcileTest, AbsenceIsDeathOnlyIfItIsProved) {
  const TokenId id = Create(Long())->token.id;
  StartJobs();
  gitlab_.Forget(Get(id)->upstream_id);
  gitlab_.set_issuer_is_admin(false);
  TwoWalks();
  EXPECT_EQ(StateOf(id), TokenState::kActive);
  EXPECT_NE(MetricsPage(metrics_).find("tokenbroker_reconcile_unproved_tokens 1"), std::string::npos);
  gitlab_.set_issuer_is_admin(true);
  TwoWalks();
  EXPECT_EQ(StateOf(id), TokenState::kRevoked);
}

TEST_F(ReconcileTest, AProjectsTokensAreFoundWithoutAnAdministrator) {
  gitlab_.set_issuer_is_admin(false);
  CreateRequest request = ProjectToken();
  request.ttl = hours(24);
  const Token token = Create(request)->token;
  StartJobs();
  gitlab_.Use(token.upstream_id);
  TwoWalks();
  EXPECT_TRUE(Get(token.id)->last_used_time.has_value());
}

TEST_F(ReconcileTest, ATagWithoutARowIsReportedAndLeftAlone) {
  const std::int64_t ours = Plant("x [tb:tb1:06f3kxzzzzzzzzzzzzzzzzzzzz]", 42, "by=ci exp=4000000000 nightly");
  const std::int64_t bot = Plant("y [tb:tb1:06f3kxzzzzzzzzzzzzzzzzzzy2]", 10'777);
  const std::int64_t others = Plant("x [tb:tb2:06f3kxzzzzzzzzzzzzzzzzzzzz]");
  const std::int64_t inside = Plant("[tb:tb1:06f3kxzzzzzzzzzzzzzzzzzzzz] x");
  StartJobs();
  TwoWalks();
  EXPECT_EQ(UnknownIds(), (std::vector<std::int64_t>{ours, bot}));
  const UnknownToken mine = Found().unknown.at(ours);
  EXPECT_EQ(mine.owner, "ci");
  EXPECT_EQ(mine.purpose, "nightly");
  EXPECT_EQ(mine.expire_time, FromMicros(4'000'000'000'000'000));
  EXPECT_EQ(mine.target->id, 42);
  EXPECT_EQ(mine.kind, StrangerKind::kNoRow);
  EXPECT_EQ(Found().unknown.at(bot).owner, "");
  EXPECT_EQ(Found().unknown.at(bot).target, std::nullopt);
  Pass(hours(2), kStep);
  for (const std::int64_t id : {ours, bot, others, inside}) EXPECT_TRUE(Lives(id));
  EXPECT_EQ(gitlab_.deletes(), 0);
}

// Something between us and GitLab sent the POST twice: nobody holds the second one's secret.
TEST_F(ReconcileTest, ASecondTokenOfOnePostIsRevoked) {
  const Token first = Create(Long())->token;
  const std::int64_t twin = Plant(first.upstream_name);
  StartJobs();
  TwoWalks();
  EXPECT_FALSE(Lives(twin));
  EXPECT_TRUE(Lives(first.upstream_id));
  EXPECT_EQ(StateOf(first.id), TokenState::kActive);
  EXPECT_TRUE(UnknownIds().empty());
}

// Whoever holds the second one's secret has made it extend itself before it was found: its family bears the first one's
// marker.
TEST_F(ReconcileTest, TheFamilyOfASecondTokenEndsWithItAndTheFirstLives) {
  for (const bool of_project : {false, true}) {
    CreateRequest request = Long();
    if (of_project) {
      request = ProjectToken();
      request.ttl = hours(4);
    }
    request.scopes = {"api"};
    const Token first = Create(request)->token;
    const std::int64_t twin = of_project ? Plant(first.upstream_name, 10'999) : Plant(first.upstream_name);
    // On its way, or after it is known.
    gitlab_.set_before_delete([&] {
      if (Lives(twin)) gitlab_.HolderRotates(gitlab_.HolderRotates(twin));
    });
    if (!of_project) StartJobs();
    TwoWalks();
    gitlab_.set_before_delete(nullptr);
    EXPECT_TRUE(Lives(first.upstream_id));
    EXPECT_EQ(StateOf(first.id), TokenState::kActive);
    std::vector<std::int64_t> living;
    for (const UpstreamToken& each : gitlab_.live()) {
      if (each.name == first.upstream_name) living.push_back(each.id);
    }
    EXPECT_EQ(living, std::vector<std::int64_t>{first.upstream_id});
    EXPECT_TRUE(UnknownIds().empty());
  }
}

TEST_F(ReconcileTest, TheFamilyOfASecondTokenIsFoundByTheNameItBears) {
  CreateRequest request = ProjectToken();
  request.scopes = {"api"};
  request.ttl = minutes(3);  // It has ended when the next walk comes by: what lives then is only reported.
  const Token first = Create(request)->token;
  const std::int64_t twin = Plant(first.upstream_name, 10'999);
  gitlab_.set_before_delete([&] {
    if (Lives(twin)) gitlab_.HolderRotates(twin);
  });
  StartJobs();
  TwoWalks();
  EXPECT_EQ(StateOf(first.id), TokenState::kExpired);
  EXPECT_TRUE(gitlab_.live().empty());
  EXPECT_TRUE(UnknownIds().empty());
}

TEST_F(ReconcileTest, ALaterOneIsReported) {
  const Token first = Create(Long())->token;
  Pass(minutes(11), kStep);
  const std::int64_t second = Plant(first.upstream_name);
  StartJobs();
  TwoWalks();
  EXPECT_TRUE(Lives(second));
  EXPECT_EQ(UnknownIds(), std::vector<std::int64_t>{second});
  EXPECT_EQ(Found().unknown.begin()->second.kind, StrangerKind::kSecond);
  EXPECT_EQ(Found().unknown.begin()->second.owner, "ci");
}

TEST_F(ReconcileTest, AHoldersOwnRotationIsReportedAndEndsWithItsRow) {
  CreateRequest request = Long({"api"});
  request.ttl = hours(2);
  const Token parent = Create(request)->token;
  const std::int64_t child = gitlab_.HolderRotates(parent.upstream_id);
  StartJobs();
  TwoWalks();
  EXPECT_TRUE(Lives(child));
  EXPECT_EQ(UnknownIds(), std::vector<std::int64_t>{child});
  EXPECT_EQ(StateOf(parent.id), TokenState::kActive);
  Pass(hours(2), kStep);
  EXPECT_FALSE(Lives(child));
  EXPECT_EQ(StateOf(parent.id), TokenState::kExpired);
  TwoWalks();
  EXPECT_TRUE(UnknownIds().empty());
}

TEST_F(ReconcileTest, AMovedProjectIsReported) {
  CreateRequest request = ProjectToken();
  request.ttl = hours(24);
  const Token token = Create(request)->token;
  gitlab_.AddProject(7, "elsewhere/payments");
  StartJobs();
  TwoWalks();
  const Findings found = Found();
  ASSERT_EQ(found.moved.size(), 1u);
  EXPECT_EQ(found.moved[0].target.path, "acme/payments");
  EXPECT_EQ(found.moved[0].path, "elsewhere/payments");
  EXPECT_EQ(StateOf(token.id), TokenState::kActive);
  EXPECT_EQ(Get(token.id)->target.path, "acme/payments");
}

// 120 rows: more than a page. The whole walk stays inside its budget.
TEST_F(ReconcileTest, KeepsItsBudget) {
  for (int i = 0; i < 120; ++i) ASSERT_TRUE(Create(Long()).ok());
  StartJobs();
  Pass(minutes(2));
  const int before = gitlab_.reads();
  Pass(minutes(30), kStep);
  const int reads = gitlab_.reads() - before;
  EXPECT_GT(reads, 5);
  EXPECT_LT(reads, 30);  // Three or four walks of two pages, a look at the target, and the issuer's own checks.
  for (std::int64_t id = 100; id < 220; ++id) gitlab_.Forget(id);
  const int gone = gitlab_.reads();
  Pass(minutes(5));
  EXPECT_LE(gitlab_.reads() - gone, 5 * 60 + 1);
}

TEST_F(ReconcileTest, AGitLabThatIsDownProvesNothing) {
  const TokenId id = Create(Long())->token.id;
  StartJobs();
  gitlab_.set_down(true);
  Pass(hours(1), kStep);
  EXPECT_EQ(StateOf(id), TokenState::kActive);
  EXPECT_EQ(Found().walk_time, std::nullopt);
  gitlab_.set_down(false);
  TwoWalks();
  EXPECT_NE(Found().walk_time, std::nullopt);
}

// 30 projects, of which one fails for ever: the others' tokens are compared and reported all the same.
TEST_F(ReconcileTest, AProjectThatFailsForEverHidesNothingOfTheOthers) {
  gitlab_.set_issuer_is_admin(false);
  std::vector<Token> tokens;
  for (int i = 0; i < 30; ++i) {
    gitlab_.AddProject(100 + i, "acme/p" + std::to_string(i));
    CreateRequest request = ProjectToken();
    request.target.ref = std::to_string(100 + i);
    request.ttl = hours(24 * 7);
    const absl::StatusOr<Created> made = Create(request);
    ASSERT_TRUE(made.ok()) << made.status();
    tokens.push_back(made->token);
  }
  StartJobs();
  gitlab_.set_fails([](const ResolvedTarget& target) { return target.id == 100; });
  for (const Token& each : tokens) gitlab_.Use(each.upstream_id);
  TwoWalks();
  TwoWalks();
  for (std::size_t i = 1; i < tokens.size(); ++i) EXPECT_TRUE(Get(tokens[i].id)->last_used_time.has_value()) << i;
  EXPECT_FALSE(Get(tokens[0].id)->last_used_time.has_value());
  EXPECT_NE(Found().walk_time, std::nullopt);
  EXPECT_EQ(MetricsPage(metrics_).find("tokenbroker_reconcile_skipped 0\n"), std::string::npos);
  gitlab_.set_fails(nullptr);
  Pass(hours(7), kStep);
  EXPECT_TRUE(Get(tokens[0].id)->last_used_time.has_value());
  EXPECT_NE(MetricsPage(metrics_).find("tokenbroker_reconcile_skipped 0\n"), std::string::npos);
}

// One request in ten has no response: walks end all the same.
TEST_F(ReconcileTest, LossesEndNoWalk) {
  gitlab_.set_issuer_is_admin(false);
  for (int i = 0; i < 30; ++i) {
    gitlab_.AddProject(100 + i, "acme/p" + std::to_string(i));
    CreateRequest request = ProjectToken();
    request.target.ref = std::to_string(100 + i);
    request.ttl = hours(24 * 7);
    ASSERT_TRUE(Create(request).ok());
  }
  StartJobs();
  int requests = 0;
  gitlab_.set_fails([&requests](const ResolvedTarget&) { return ++requests % 10 == 0; });
  TwoWalks();
  EXPECT_NE(Found().walk_time, std::nullopt);
}

TEST_F(ReconcileTest, AnEmptyLedgerRevokesNothing) {
  std::vector<std::int64_t> planted;
  for (int i = 0; i < 5; ++i) {
    planted.push_back(Plant(UpstreamNameOf("x", "tb1", MakeSortableId(loop_.Now(), random_))));
  }
  StartJobs();
  Pass(hours(2), kStep);
  EXPECT_EQ(UnknownIds(), planted);
  EXPECT_EQ(gitlab_.live().size(), 5u);
  EXPECT_EQ(gitlab_.deletes(), 0);
}

}  // namespace
}  // namespace tokenbroker
