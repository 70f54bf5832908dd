// What ends together with a row: copies that a rotation made, and duplicates of its POST.

#include <algorithm>
#include <utility>

#include "server/broker/broker_fixture.h"
#include "server/telemetry/metrics_page.h"

namespace tokenbroker {
namespace {

constexpr Duration kStep = seconds(10);

class DescendantsTest : public BrokerTest {
 protected:
  Token Make(CreateRequest request, Duration ttl, std::vector<std::string> scopes = {"read_repository"}) {
    request.ttl = ttl;
    request.scopes = std::move(scopes);
    const absl::StatusOr<Created> created = Create(request);
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? created->token : Token();
  }
  // A second token of the POST that made `token`.
  std::int64_t PlantDuplicate(const Token& token) {
    MintSpec spec;
    spec.target = token.target;
    spec.name = token.upstream_name;
    spec.scopes = token.scopes;
    spec.access_level = token.access_level;
    spec.expires_at = *token.upstream_expire_date;
    return gitlab_.Plant(spec);
  }
  std::vector<std::int64_t> LiveIds() const {
    std::vector<std::int64_t> ids;
    for (const UpstreamToken& each : gitlab_.live()) ids.push_back(each.id);
    return ids;
  }
  std::vector<std::int64_t> UnknownIds() {
    std::vector<std::int64_t> ids;
    const absl::StatusOr<Findings> found = loop_.Finish(broker_->ListUnknown(CallerNamed("warden")));
    EXPECT_TRUE(found.ok()) << found.status();
    for (const auto& [id, token] : found->unknown) ids.push_back(id);
    return ids;
  }
  void TwoPasses() { Pass(minutes(25), kStep); }
};

// The holder of an `api` token of the same GitLab user rotates this one, which could not do it itself.
TEST_F(DescendantsTest, ACopyEndsWithItsRow) {
  StartJobs();
  const Token token = Make(UserToken(), minutes(1));
  gitlab_.HolderRotates(token.upstream_id);
  Pass(seconds(62));
  EXPECT_EQ(StateOf(token.id), TokenState::kExpired);
  EXPECT_TRUE(LiveIds().empty());
}

TEST_F(DescendantsTest, RevokeTokenRevokesTheCopyToo) {
  for (const CreateRequest& request : {UserToken(), ProjectToken()}) {
    const Token token = Make(request, hours(1));
    gitlab_.HolderRotates(gitlab_.HolderRotates(token.upstream_id));
    EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoked);
    EXPECT_TRUE(LiveIds().empty());
  }
}

TEST_F(DescendantsTest, ARowFoundRevokedAtGitLabEndsWithItsCopy) {
  const Token token = Make(UserToken(), hours(24 * 7));
  const Token other = Make(UserToken(), hours(24 * 7));
  StartJobs();
  gitlab_.HolderRotates(token.upstream_id);
  TwoPasses();
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  EXPECT_EQ(Get(token.id)->revoke_reason, RevokeReason::kUpstream);
  EXPECT_EQ(LiveIds(), std::vector<std::int64_t>{other.upstream_id});
  EXPECT_EQ(StateOf(other.id), TokenState::kActive);
  EXPECT_TRUE(UnknownIds().empty());
}

// An adopted token's name has the marker of the row that it was made beside, which goes on.
TEST_F(DescendantsTest, AnAdoptedTokensCopyIsFoundByTheMarkerInItsName) {
  const Token first = Make(UserToken(), hours(24 * 7));
  Pass(minutes(11), kStep);
  const std::int64_t second = PlantDuplicate(first);
  StartJobs();
  TwoPasses();
  UnknownChoice choice;
  choice.upstream_ids = {second};
  const absl::StatusOr<std::vector<Token>> adopted =
      loop_.Finish(broker_->TakeInUnknown({}, CallerNamed("warden"), choice));
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  ASSERT_EQ(adopted->size(), 1u);
  gitlab_.HolderRotates(second);
  TwoPasses();
  EXPECT_EQ(StateOf(adopted->front().id), TokenState::kRevoked);
  EXPECT_EQ(StateOf(first.id), TokenState::kActive);
  EXPECT_EQ(LiveIds(), std::vector<std::int64_t>{first.upstream_id});
}

TEST_F(DescendantsTest, ADuplicateEndsWithItsRow) {
  StartJobs();
  for (const bool is_admin : {true, false}) {
    gitlab_.set_issuer_is_admin(is_admin);
    const Token token = Make(ProjectToken(), minutes(1));
    PlantDuplicate(token);
    Pass(seconds(62));
    EXPECT_EQ(StateOf(token.id), TokenState::kExpired);
    EXPECT_TRUE(LiveIds().empty());
  }
  gitlab_.set_issuer_is_admin(true);
  const Token token = Make(UserToken(), minutes(1));
  PlantDuplicate(token);
  Pass(seconds(62));
  EXPECT_EQ(StateOf(token.id), TokenState::kExpired);
  EXPECT_TRUE(LiveIds().empty());
}

TEST_F(DescendantsTest, OneThatCannotBeRevokedLeavesNoOtherLive) {
  StartJobs();
  const Token token = Make(UserToken(), hours(1));
  const std::int64_t first = PlantDuplicate(token);
  PlantDuplicate(token);
  gitlab_.PlanNext(FakeGitLab::End::kWorks);
  gitlab_.PlanNext(FakeGitLab::End::kRefused);
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
  EXPECT_EQ(LiveIds(), std::vector<std::int64_t>{first});
  Pass(seconds(10));
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  EXPECT_TRUE(LiveIds().empty());
}

TEST_F(DescendantsTest, OneThatIsGoneMeanwhileStopsNothing) {
  const Token token = Make(UserToken(), hours(1));
  const std::int64_t first = PlantDuplicate(token);
  PlantDuplicate(token);
  gitlab_.set_before_delete([&] {
    if (gitlab_.deletes() == 2) gitlab_.Forget(first);
  });
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoked);
  gitlab_.set_before_delete(nullptr);
  EXPECT_TRUE(LiveIds().empty());
}

// The credential loses its rights between the DELETE and the list.
TEST_F(DescendantsTest, WithoutTheListGitLabsEndClosesTheRowUnlessItExtendsItself) {
  StartJobs();
  for (const bool self_extending : {false, true}) {
    const Token token =
        Make(UserToken(), hours(1), {self_extending ? std::string("api") : std::string("read_repository")});
    gitlab_.set_delete_takes(Duration(0), [this](std::int64_t) { gitlab_.set_issuer_is_admin(false); });
    EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoking);
    EXPECT_TRUE(LiveIds().empty());
    Pass(minutes(30), kStep);
    EXPECT_EQ(StateOf(token.id), TokenState::kRevoking);
    loop_.Advance(MidnightOf(*token.upstream_expire_date) - loop_.Now());
    Pass(hours(1) + minutes(1), kStep);
    EXPECT_EQ(StateOf(token.id), self_extending ? TokenState::kRevoking : TokenState::kRevoked);
    gitlab_.set_delete_takes(Duration(0));
    gitlab_.set_issuer_is_admin(true);
    Pass(hours(1) + minutes(1), kStep);
    EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  }
}

TEST_F(DescendantsTest, TheEndOfATokenCostsOneDeleteAndOneList) {
  const Token token = Make(UserToken(), hours(1));
  const int reads = gitlab_.reads();
  const int deletes = gitlab_.deletes();
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoked);
  EXPECT_EQ(gitlab_.reads() - reads, 1);
  EXPECT_EQ(gitlab_.deletes() - deletes, 1);
}

// A self-rotation that GitLab authenticated before the DELETE commits after the first, empty list.
TEST_F(DescendantsTest, ASelfExtendingTokensDescendantsAreListedAgainTwoMinutesLater) {
  StartJobs();
  const Token token = Make(UserToken(), hours(1), {"api"});
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoked);
  PlantDuplicate(token);
  Pass(seconds(115));
  EXPECT_EQ(LiveIds().size(), 1u);
  Restart();  // The second list is durable.
  StartJobs();
  Pass(seconds(10));
  EXPECT_TRUE(LiveIds().empty());
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
  Pass(minutes(5));  // What was found has had its own second list by now.
  EXPECT_EQ(*loop_.Finish(ledger_->NextDue()), std::nullopt);
}

// The user has another token, with `api`, whose holder was rotating this one.
TEST_F(DescendantsTest, AUsersTokensDescendantsAreListedAgainToo) {
  StartJobs();
  const Token token = Make(UserToken(), hours(1));
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoked);
  PlantDuplicate(token);
  Pass(seconds(125));
  EXPECT_TRUE(LiveIds().empty());
  EXPECT_EQ(StateOf(token.id), TokenState::kRevoked);
}

// Each project token has a bot user, and no other token of that user is there to rotate it.
TEST_F(DescendantsTest, AProjectTokensDescendantsAreListedOnce) {
  StartJobs();
  const Token token = Make(ProjectToken(), hours(1));
  EXPECT_EQ(Revoke(token.id)->state, TokenState::kRevoked);
  EXPECT_EQ(*loop_.Finish(ledger_->NextDue()), std::nullopt);
}

}  // namespace
}  // namespace tokenbroker
