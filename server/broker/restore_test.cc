// Copies that are older than the world: a ledger from a backup, a forked one, a GitLab from a backup. The drill of
// docs/operations.md is the first of them.

#include <filesystem>

#include "server/broker/broker_fixture.h"
#include "server/domain/marker.h"
#include "server/ledger/maintenance.h"

namespace tokenbroker {
namespace {

// Of hours and long minutes; nothing here hangs on seconds.
constexpr Duration kStep = seconds(10);

// Another broker beside the fixture's, over the same GitLab and clock.
class SecondBroker {
 public:
  SecondBroker(ManualLoop& loop, Random& random, Metrics& metrics, GitLab& gitlab, const PolicySource& policies,
               const std::string& path, const std::string& name)
      : slots_(loop, loop, metrics, 64) {
    absl::StatusOr<std::unique_ptr<Ledger>> ledger =
        OpenSqliteLedger({path, name, minutes(10)}, loop, loop, random, metrics);
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    ledger_ = *std::move(ledger);
    const BrokerParts parts = {loop, loop, random, *ledger_, gitlab, slots_, policies, metrics, NullLog()};
    broker_ = std::make_unique<Broker>(parts, BrokerOptions{name, "main"});
  }

  Broker& broker() { return *broker_; }
  Ledger& ledger() { return *ledger_; }

 private:
  Slots slots_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Broker> broker_;
};

class RestoreTest : public BrokerTest {
 protected:
  std::string Copy(const std::string& name) {
    const std::string copy = std::filesystem::path(path_).parent_path() / name;
    std::filesystem::copy_file(path_, copy, std::filesystem::copy_options::overwrite_existing);
    return copy;
  }
  CreateRequest For(Duration ttl) {
    CreateRequest request = UserToken();
    request.scopes = {"read_user"};
    request.ttl = ttl;
    return request;
  }
  bool Lives(std::int64_t id) {
    for (const UpstreamToken& each : gitlab_.live()) {
      if (each.id == id) return true;
    }
    return false;
  }
  Findings Found(Broker& broker) { return *loop_.Finish(broker.ListUnknown(CallerNamed("warden"))); }
  Findings Found() { return Found(*broker_); }
  absl::StatusOr<std::vector<Token>> Adopt(int count) {
    return loop_.Finish(broker_->TakeInUnknown({}, CallerNamed("warden"), UnknownChoice{{}, count, false}));
  }
  // Ends a second broker and what it still has to do.
  void End(SecondBroker& second) {
    second.broker().Drain(Duration(0));
    for (int i = 0; i < 200 && second.broker().scope().running() > 0; ++i) {
      Pass(seconds(1));
      (void)loop_.Finish(second.ledger().Count());
    }
    ASSERT_EQ(second.broker().scope().running(), 0u);
  }
  // Lets time pass with two brokers at work.
  void PassBoth(SecondBroker& second, Duration by) {
    const BootTime end = loop_.Boot() + by;
    while (loop_.Boot() < end) {
      Pass(kStep, kStep);
      for (int i = 0; i < 4; ++i) {
        (void)loop_.Finish(second.ledger().Count());
        (void)loop_.Finish(second.ledger().Abandon("none", ""));
      }
    }
  }
};

TEST_F(RestoreTest, TheDrill) {
  const Token kept = Create(For(hours(3)))->token;
  gitlab_.PlanNext(FakeGitLab::End::kLostAfter);
  ASSERT_FALSE(Create(For(hours(30))).ok());  // Under way when the backup is taken; answered soon after it.
  const std::int64_t under_way = gitlab_.live().back().id;
  Stop();
  const std::string backup = Copy("backup.db");
  Open();
  const Token later = Create(For(hours(4)))->token;  // Of this the backup knows nothing.
  Stop();

  // The ledger is lost. The operator puts the backup in its place and starts once with --restored.
  std::filesystem::copy_file(backup, path_, std::filesystem::copy_options::overwrite_existing);
  const absl::StatusOr<int> given_up = GiveUpLooksIn(path_, "tb1", loop_.Now(), random_);
  ASSERT_TRUE(given_up.ok()) << given_up.status();
  EXPECT_EQ(*given_up, 1);
  Open();
  StartJobs();
  Pass(hours(2), kStep);  // All but the last of the looks would be over.
  EXPECT_TRUE(Lives(under_way));
  EXPECT_TRUE(Lives(later.upstream_id));
  EXPECT_EQ(gitlab_.deletes(), 0);
  const Findings found = Found();
  ASSERT_EQ(found.unknown.size(), 2u);
  EXPECT_EQ(found.unknown.at(under_way).kind, StrangerKind::kAbandoned);
  EXPECT_EQ(found.unknown.at(later.upstream_id).kind, StrangerKind::kNoRow);
  EXPECT_EQ(found.unknown.at(later.upstream_id).owner, "ci");

  // tokenctl reconcile --adopt --expect 2
  const absl::StatusOr<std::vector<Token>> adopted = Adopt(2);
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  EXPECT_EQ(StateOf(later.id), TokenState::kActive);
  EXPECT_EQ(Get(later.id)->upstream_id, later.upstream_id);
  // Expiry went on all the time, for those that were adopted too; GitLab's description knows whole seconds.
  Pass(hours(1) + minutes(1), kStep);
  EXPECT_EQ(StateOf(kept.id), TokenState::kExpired);
  EXPECT_FALSE(Lives(kept.upstream_id));
  EXPECT_TRUE(Lives(later.upstream_id));
  Pass(hours(1), kStep);
  EXPECT_EQ(StateOf(later.id), TokenState::kExpired);
  EXPECT_FALSE(Lives(later.upstream_id));
  EXPECT_TRUE(Lives(under_way));
  Pass(hours(26), minutes(1));
  EXPECT_FALSE(Lives(under_way));
}

TEST_F(RestoreTest, AForkedLedgerLetsTheFirstBrokersTokensLive) {
  const Token active = Create(For(hours(1)))->token;
  gitlab_.PlanNext(FakeGitLab::End::kLostAfter);
  ASSERT_FALSE(Create(For(hours(1))).ok());
  Stop();
  const std::string copy = Copy("copy.db");
  EXPECT_FALSE(ForkLedger(copy, "tb1", loop_.Now(), random_).ok());
  EXPECT_FALSE(ForkLedger(copy, "Not A Name", loop_.Now(), random_).ok());
  EXPECT_FALSE(ForkLedger(copy + ".none", "tb2", loop_.Now(), random_).ok());
  const absl::StatusOr<int> closed = ForkLedger(copy, "tb2", loop_.Now(), random_);
  ASSERT_TRUE(closed.ok()) << closed.status();
  EXPECT_EQ(*closed, 2);

  SecondBroker second(loop_, random_, metrics_, gitlab_, *policies_, copy, "tb2");
  second.broker().StartLifecycle();
  const absl::StatusOr<TokenRecord> row = loop_.Finish(second.ledger().Get(active.id));
  EXPECT_EQ(row->token.state, TokenState::kAbandoned);
  Open();
  PassBoth(second, minutes(50));
  EXPECT_EQ(gitlab_.deletes(), 0);
  EXPECT_EQ(gitlab_.live().size(), 2u);
  EXPECT_TRUE(Found(second.broker()).unknown.empty());  // Their tags are another broker's.
  PassBoth(second, minutes(80));
  EXPECT_EQ(gitlab_.deletes(), 0);
  End(second);
}

TEST_F(RestoreTest, TwoBrokersDoNotTouchEachOthersTokens) {
  SecondBroker second(loop_, random_, metrics_, gitlab_, *policies_, path_ + ".second", "tb2");
  StartJobs();
  second.broker().StartLifecycle();
  std::vector<Token> ours, theirs;
  for (int i = 0; i < 6; ++i) {
    ours.push_back(Create(For(hours(2)))->token);
    CreateRequest request = For(hours(2));
    const absl::StatusOr<Created> made = loop_.Finish(second.broker().Create({}, CallerNamed("ci"), request));
    ASSERT_TRUE(made.ok()) << made.status();
    theirs.push_back(made->token);
    // Each loses an answer now and then, and looks for it.
    gitlab_.PlanNext(FakeGitLab::End::kLostAfter);
    if (i % 2 == 0) {
      EXPECT_FALSE(Create(request).ok());
    } else {
      EXPECT_FALSE(loop_.Finish(second.broker().Create({}, CallerNamed("ci"), request)).ok());
    }
    PassBoth(second, minutes(10));
  }
  for (const Token& token : ours) EXPECT_TRUE(Lives(token.upstream_id));
  for (const Token& token : theirs) EXPECT_TRUE(Lives(token.upstream_id));
  EXPECT_TRUE(Found().unknown.empty());
  EXPECT_TRUE(Found(second.broker()).unknown.empty());
  // What was lost more than a settle ago is gone.
  PassBoth(second, minutes(15));
  EXPECT_EQ(gitlab_.live().size(), ours.size() + theirs.size());
  End(second);
}

TEST_F(RestoreTest, ARestoredGitLabGivesNumbersOutAgain) {
  StartJobs();
  const FakeGitLab::Backup backup = gitlab_.TakeBackup();
  const Token lost = Create(For(hours(5)))->token;
  const Token other = Create(For(hours(3)))->token;
  Pass(minutes(70), kStep);
  gitlab_.Restore(backup);
  // The first number goes to a token of ours, the second to somebody else's.
  const Token fresh = Create(For(hours(24)))->token;
  ASSERT_EQ(fresh.upstream_id, lost.upstream_id);
  EXPECT_EQ(StateOf(lost.id), TokenState::kRevoked);
  EXPECT_EQ(Get(lost.id)->revoke_reason, RevokeReason::kUpstream);
  MintSpec spec;
  spec.target = {"main", TargetKind::kUser, 42, "demo"};
  spec.name = "somebody's own";
  spec.expires_at = DateOf(loop_.Now()) + std::chrono::days(30);
  ASSERT_EQ(gitlab_.Plant(spec), other.upstream_id);

  EXPECT_TRUE(ledger_->UpstreamRestored());
  ASSERT_TRUE(Revoke(other.id).ok());  // A DELETE of its number would end the other's.
  EXPECT_EQ(StateOf(other.id), TokenState::kRevoked);
  EXPECT_EQ(gitlab_.deletes(), 0);
  EXPECT_TRUE(Lives(other.upstream_id));
  Pass(hours(6), kStep);
  EXPECT_TRUE(Lives(fresh.upstream_id));
  EXPECT_EQ(StateOf(fresh.id), TokenState::kActive);
  ASSERT_TRUE(Revoke(fresh.id).ok());
  EXPECT_FALSE(Lives(fresh.upstream_id));
}

// A number that was given out again is not found by a replica that lags: what it stands for is not known, and not
// deleted.
TEST_F(RestoreTest, WhatALaggingReplicaHidesIsNotDeletedByItsNumber) {
  StartJobs();
  const FakeGitLab::Backup backup = gitlab_.TakeBackup();
  ASSERT_TRUE(Create(For(hours(5))).ok());
  const Token other = Create(For(hours(3)))->token;
  Pass(minutes(70), kStep);
  gitlab_.Restore(backup);
  ASSERT_TRUE(Create(For(hours(24))).ok());
  ASSERT_TRUE(ledger_->UpstreamRestored());
  gitlab_.set_lag_by_id(minutes(1));
  MintSpec spec;
  spec.target = {"main", TargetKind::kUser, 42, "demo"};
  spec.name = "somebody's own";
  spec.expires_at = DateOf(loop_.Now()) + std::chrono::days(30);
  ASSERT_EQ(gitlab_.Plant(spec), other.upstream_id);
  ASSERT_TRUE(Revoke(other.id).ok());
  Pass(minutes(2));
  EXPECT_EQ(gitlab_.deletes(), 0);
  EXPECT_TRUE(Lives(other.upstream_id));
  EXPECT_EQ(StateOf(other.id), TokenState::kRevoked);
}

}  // namespace
}  // namespace tokenbroker
