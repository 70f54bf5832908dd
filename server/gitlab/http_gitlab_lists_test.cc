// What a reconciler asks: everybody's tokens in order, and whose they are. Against the simulator.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/base/error.h"
#include "server/gitlab/http_gitlab_fixture.h"
#include "tests/gitlab_sim/gitlab_sim.h"

namespace tokenbroker {
namespace {

using gitlab_sim::GitLabSim;

class HttpGitLabListsTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    gitlab_sim::Options options;
    options.version = GetParam();
    sim_ = GitLabSim::Start(options);
    ASSERT_NE(sim_, nullptr);
    root_ = sim_->AddUser({.username = "root", .admin = true});
    maria_ = sim_->AddUser({.username = "maria"});
    project_ = sim_->AddProject({.full_path = "acme/payments"});
    sim_->AddProjectMember(project_, maria_, 40);
    adapter_ = AdapterOf(root_);
  }
  void TearDown() override {
    adapter_.reset();
    EXPECT_TRUE(sim_->UnknownRoutes().empty()) << sim_->UnknownRoutes().front();
  }

  std::unique_ptr<AdapterUnderTest> AdapterOf(std::int64_t user) {
    const std::string secret = sim_->AddToken({.user_id = user, .name = "broker", .expires_at = "2099-01-01"}).secret;
    return std::make_unique<AdapterUnderTest>(sim_->url(), secret);
  }
  GitLab& gitlab() { return adapter_->gitlab(); }
  static UpstreamQuery Tagged(int limit) {
    UpstreamQuery query;
    query.search = "[tb:tb1:";
    query.whole_instance = true;
    query.limit = limit;
    return query;
  }

  std::unique_ptr<GitLabSim> sim_;
  std::int64_t root_ = 0, maria_ = 0, project_ = 0;
  std::unique_ptr<AdapterUnderTest> adapter_;
};

INSTANTIATE_TEST_SUITE_P(Versions, HttpGitLabListsTest, testing::Values("17.11.7", "18.11.5"),
                         [](const auto& info) { return "V" + std::string(info.param).substr(0, 2); });

TEST_P(HttpGitLabListsTest, AnAdministratorWalksThroughEverybodysTokensOldestFirst) {
  for (int i = 0; i < 130; ++i) {
    sim_->AddToken({.user_id = i % 2 == 0 ? root_ : maria_,
                    .name = "x [tb:tb1:" + std::to_string(i) + "]",
                    .expires_at = "2099-01-01"});
  }
  sim_->AddToken({.user_id = maria_, .name = "x [tb:tb2:1]", .expires_at = "2099-01-01"});
  const auto first = adapter_->Run(gitlab().ListTokens({}, Tagged(100)));
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(first->size(), 100u);
  EXPECT_EQ(sim_->CountRequests("GET", "/personal_access_tokens$", "sort=created_asc"), 1);
  for (std::size_t i = 1; i < first->size(); ++i) EXPECT_GE(first->at(i).created_at, first->at(i - 1).created_at);

  UpstreamQuery rest = Tagged(200);
  rest.created_after = first->back().created_at;
  const auto second = adapter_->Run(gitlab().ListTokens({}, rest));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_GE(second->size(), 31u);  // The last one of the page before is there again.
  EXPECT_EQ(second->back().name, "x [tb:tb1:129]");
}

TEST_P(HttpGitLabListsTest, NobodyElseDoes) {
  adapter_ = AdapterOf(maria_);
  const auto list = adapter_->Run(gitlab().ListTokens({}, Tagged(100)));
  EXPECT_EQ(ReasonOf(list.status()), "ISSUER_NOT_ALLOWED") << list.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(list.status()));
}

TEST_P(HttpGitLabListsTest, ABotsTokensAreItsProjects) {
  const Ended<Minted> made =
      adapter_->Run(gitlab().Mint({}, adapter_->Intent(), SpecFor(ProjectTarget(project_), "tb-bot")));
  ASSERT_EQ(EndOf(made), "DONE");
  const auto project = adapter_->Run(gitlab().TargetOf({}, "main", std::get<Minted>(made).token.user_id));
  ASSERT_TRUE(project.ok()) << project.status();
  EXPECT_EQ(*project, (ResolvedTarget{"main", TargetKind::kProject, project_, "acme/payments"}));
  const auto user = adapter_->Run(gitlab().TargetOf({}, "main", maria_));
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(*user, (ResolvedTarget{"main", TargetKind::kUser, maria_, "maria"}));
  EXPECT_TRUE(absl::IsNotFound(adapter_->Run(gitlab().TargetOf({}, "main", 99'999)).status()));
}

TEST_P(HttpGitLabListsTest, ADescriptionIsRead) {
  const Ended<Minted> made =
      adapter_->Run(gitlab().Mint({}, adapter_->Intent(), SpecFor(UserTarget(maria_), "x [tb:tb1:d]")));
  ASSERT_EQ(EndOf(made), "DONE");
  const auto list = adapter_->Run(gitlab().ListTokens({}, Tagged(100)));
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_EQ(list->size(), 1u);
  EXPECT_EQ(list->front().description, "for a test");
}

}  // namespace
}  // namespace tokenbroker
