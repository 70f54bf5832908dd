#include "server/gitlab/bot_name.h"

#include <gtest/gtest.h>

namespace tokenbroker {
namespace {

TEST(BotNameTest, ABotsNameTellsItsProject) {
  EXPECT_EQ(ProjectOfBot("project_7_bot_0b1c"), 7);
  EXPECT_EQ(ProjectOfBot("project_12_bot"), 12);
  for (const char* other :
       {"", "project_", "project_7", "project_7_robot", "project_x_bot_1", "project_-7_bot_1", "project_0_bot_1",
        "project_99999999999999999999_bot_1", "my_project_7_bot_1", "group_5_bot_1"}) {
    EXPECT_EQ(ProjectOfBot(other), std::nullopt) << other;
  }
}

TEST(BotNameTest, ProjectsAndGroupsHaveBots) {
  EXPECT_TRUE(IsResourceBot("project_7_bot_0b1c"));
  EXPECT_TRUE(IsResourceBot("group_5_bot_0b1c"));
  EXPECT_FALSE(IsResourceBot("service_account_group_5_0b1c"));
  EXPECT_FALSE(IsResourceBot("alice"));
}

}  // namespace
}  // namespace tokenbroker
