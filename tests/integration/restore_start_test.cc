// Commands for copies of a ledger: --restored and --fork-ledger, with real brokers.

#include <gtest/gtest.h>

#include "tests/integration/broker_process.h"

namespace tokenbroker {
namespace {

using std::chrono::seconds;

// A command that exits: left among the arguments of a start, it would give up sweeps at each.
TEST(RestoreStartTest, RestoredChangesTheLedgerOnceAndExits) {
  House house;
  ASSERT_TRUE(house.StartBroker()) << house.output();
  const auto made = house.Client()->Create(UserTokenSpec(house.demo_user()), {}, DeadlineIn(seconds(20)));
  ASSERT_TRUE(made.ok()) << made.status();
  ASSERT_EQ(house.StopBroker(), 0) << house.output();
  house.arguments() = {"--restored"};
  ASSERT_EQ(house.RunBrokerToItsEnd(), 0) << house.output();
  EXPECT_NE(house.output().find("ledger.db is marked as restored: 0 rows"), std::string::npos) << house.output();
  EXPECT_EQ(house.output().find("serving"), std::string::npos) << house.output();
  house.arguments().clear();
  ASSERT_TRUE(house.StartBroker()) << house.output();
  const absl::StatusOr<v1::Token> token = house.Client()->Get(made->token.name(), DeadlineIn(seconds(20)));
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->state(), v1::TOKEN_STATE_ACTIVE);
  EXPECT_EQ(house.StopBroker(), 0) << house.output();
}

TEST(RestoreStartTest, AForkSaysHowManyRowsItClosedAndBelongsToItsNewBroker) {
  House house;
  ASSERT_TRUE(house.StartBroker()) << house.output();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(house.Client()->Create(UserTokenSpec(house.demo_user()), {}, DeadlineIn(seconds(20))).ok());
  }
  House fork;
  fork.EditConfig(fork.path("ledger.db"), house.path("ledger.db"));
  fork.arguments() = {"--fork-ledger", "other1"};
  EXPECT_NE(fork.RunBrokerToItsEnd().value_or(0), 0);  // It is in use.
  EXPECT_NE(fork.output().find(std::to_string(house.broker().pid())), std::string::npos) << fork.output();
  ASSERT_EQ(house.StopBroker(), 0) << house.output();
  house.arguments() = {"--fork-ledger", "other1"};
  EXPECT_EQ(house.RunBrokerToItsEnd().value_or(1), 0) << house.output();
  EXPECT_NE(house.output().find("belongs to broker \"other1\" now: 2 open rows closed"), std::string::npos)
      << house.output();

  house.arguments().clear();
  EXPECT_NE(house.RunBrokerToItsEnd().value_or(0), 0);  // Under its old name.
  house.EditConfig("broker: test", "broker: other1");
  ASSERT_TRUE(house.StartBroker()) << house.output();
  const auto tokens = house.Client()->ListAll(/*show_closed=*/true, DeadlineIn(seconds(20)));
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  ASSERT_EQ(tokens->size(), 2u);
  EXPECT_EQ(tokens->front().state(), v1::TOKEN_STATE_ABANDONED);
  EXPECT_EQ(house.StopBroker(), 0) << house.output();
  for (const gitlab_sim::TokenView& each : house.gitlab().Tokens()) EXPECT_TRUE(each.live) << each.name;
}

}  // namespace
}  // namespace tokenbroker
