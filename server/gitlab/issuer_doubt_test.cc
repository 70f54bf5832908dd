// What the adapter does while it cannot be sure of its own credential.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "server/base/error.h"
#include "server/gitlab/http_gitlab_fixture.h"
#include "tests/gitlab_sim/gitlab_sim.h"

namespace tokenbroker {
namespace {

using gitlab_sim::Fault;
using gitlab_sim::GitLabSim;
using std::chrono::milliseconds;

class IssuerDoubtTest : public testing::Test {
 protected:
  void SetUp() override {
    sim_ = GitLabSim::Start();
    ASSERT_NE(sim_, nullptr);
    root_ = sim_->AddUser({.username = "root", .admin = true});
    maria_ = sim_->AddUser({.username = "maria"});
    demo_ = sim_->AddUser({.username = "demo-user"});
    project_ = sim_->AddProject({.full_path = "acme/payments"});
    sim_->AddProjectMember(project_, maria_, 40);
    issuer_ = TokenOf(root_);
    adapter_ = std::make_unique<AdapterUnderTest>(sim_->url(), issuer_.secret);
  }
  GitLab& gitlab() { return adapter_->gitlab(); }
  gitlab_sim::SeededToken TokenOf(std::int64_t user) {
    return sim_->AddToken({.user_id = user, .expires_at = "2099-01-01"});
  }
  absl::StatusOr<TargetFacts> Resolve(const std::string& name) {
    return adapter_->Run(gitlab().Resolve({}, {"main", TargetKind::kUser, name}));
  }
  Ended<Minted> Mint(ResolvedTarget target, const std::string& name) {
    return adapter_->Run(gitlab().Mint({}, adapter_->Intent(), SpecFor(std::move(target), name)));
  }
  absl::StatusOr<std::vector<UpstreamToken>> ListProject(const std::string& search) {
    UpstreamQuery query;
    query.target = ProjectTarget(project_);
    query.search = search;
    return adapter_->Run(gitlab().ListTokens({}, std::move(query)));
  }

  // Until GitLab has carried out a request for `path`; its answer may still be under way.
  bool WaitUntilActed(const std::string& path) {
    const BootTime until = adapter_->loop().Boot() + seconds(10);
    while (adapter_->loop().Boot() < until) {
      for (const gitlab_sim::SeenRequest& each : sim_->Requests()) {
        if (each.acted && each.path.find(path) != std::string::npos) return true;
      }
      std::this_thread::yield();
    }
    return false;
  }

  std::unique_ptr<GitLabSim> sim_;
  std::int64_t root_ = 0, maria_ = 0, demo_ = 0, project_ = 0;
  gitlab_sim::SeededToken issuer_;
  std::unique_ptr<AdapterUnderTest> adapter_;
};

TEST_F(IssuerDoubtTest, AnAnswerThatWasUnderWayDoesNotEndTheSilence) {
  ASSERT_TRUE(adapter_->Run(gitlab().CheckIssuer({})).ok());
  Fault slow;
  slow.delay_after = milliseconds(3000);
  sim_->Plan(std::move(slow).On("GET", "/projects/"));
  std::future<absl::StatusOr<TargetFacts>> under_way =
      adapter_->Start(gitlab().Resolve({}, {"main", TargetKind::kProject, "acme/payments"}));
  ASSERT_TRUE(WaitUntilActed("/projects/"));
  sim_->RevokeToken(issuer_.id);
  ASSERT_EQ(ReasonOf(Resolve("demo-user").status()), "ISSUER_DEAD");
  ASSERT_EQ(under_way.wait_for(milliseconds(0)), std::future_status::timeout);
  const absl::StatusOr<TargetFacts> late = under_way.get();
  ASSERT_TRUE(late.ok()) << late.status();
  const int asked = sim_->CountRequests("", "");
  EXPECT_EQ(ReasonOf(Resolve("demo-user").status()), "ISSUER_DEAD");
  EXPECT_EQ(sim_->CountRequests("", ""), asked);
}

TEST_F(IssuerDoubtTest, A401OfAProxyLeavesAPostUnknownAndTheIssuerAlive) {
  ASSERT_TRUE(adapter_->Run(gitlab().CheckIssuer({})).ok());
  sim_->Plan(Fault::HtmlError(401).On("", "", 2));
  EXPECT_EQ(EndOf(Mint(UserTarget(demo_), "tb-proxy")), "UNKNOWN UPSTREAM_UNAVAILABLE");
  sim_->ClearFaults();
  EXPECT_TRUE(Resolve("demo-user").ok());
}

TEST_F(IssuerDoubtTest, NobodyIsResolvedWhileItIsNotKnownWhoTheIssuerIs) {
  sim_->Plan(Fault::HtmlError(502).On("GET", "/personal_access_tokens/self$", 1));
  EXPECT_EQ(ReasonOf(Resolve("root").status()), "UPSTREAM_UNAVAILABLE");
  const absl::StatusOr<TargetFacts> known = Resolve("root");
  ASSERT_TRUE(known.ok()) << known.status();
  EXPECT_TRUE(known->is_issuer);
}

TEST_F(IssuerDoubtTest, ABusyGitLabTakesNobodysRights) {
  sim_->Plan(Fault::TooManyRequestsJson().On("GET", "/user$"));
  EXPECT_EQ(ReasonOf(adapter_->Run(gitlab().CheckIssuer({})).status()), "UPSTREAM_RATE_LIMITED");
  ASSERT_TRUE(adapter_->Run(gitlab().CheckIssuer({}))->is_admin);
  sim_->Plan(Fault::TooManyRequestsJson().On("GET", "/application/settings$"));
  const absl::StatusOr<IssuerFacts> busy = adapter_->Run(gitlab().CheckIssuer({}));
  ASSERT_TRUE(busy.ok()) << busy.status();
  EXPECT_FALSE(busy->is_admin_known);
  EXPECT_TRUE(busy->is_admin);  // As it was known.
  EXPECT_TRUE(adapter_->Run(gitlab().CheckIssuer({}))->is_admin);
}

TEST_F(IssuerDoubtTest, AnotherCredentialIsAnotherIssuer) {
  ASSERT_TRUE(Resolve("root")->is_issuer);
  sim_->RevokeToken(issuer_.id);  // So that the exchange is seen when it is taken up.
  ASSERT_EQ(ReasonOf(Resolve("root").status()), "ISSUER_DEAD");
  adapter_->WriteIssuer(TokenOf(maria_).secret);
  const BootTime until = adapter_->loop().Boot() + seconds(10);
  absl::StatusOr<TargetFacts> maria = Resolve("maria");
  while (!maria.ok() && adapter_->loop().Boot() < until) maria = Resolve("maria");
  ASSERT_TRUE(maria.ok()) << maria.status();
  EXPECT_TRUE(maria->is_issuer);
  const absl::StatusOr<TargetFacts> root = Resolve("root");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_FALSE(root->is_issuer);
}

TEST_F(IssuerDoubtTest, ALostAdminFlagDoesNotShortenAProjectsList) {
  ASSERT_TRUE(adapter_->Run(gitlab().CheckIssuer({}))->is_admin);
  ASSERT_EQ(EndOf(Mint(ProjectTarget(project_), "tb-orphan")), "DONE");
  ASSERT_EQ(ListProject("tb-orphan")->size(), 1u);
  gitlab_sim::Settings settings = sim_->settings();
  settings.admin_flag_lost = true;
  sim_->set_settings(settings);
  const absl::StatusOr<std::vector<UpstreamToken>> list = ListProject("tb-orphan");
  // The whole list, or none; never an empty one that looks whole.
  EXPECT_TRUE(!list.ok() || list->size() == 1u);
}

}  // namespace
}  // namespace tokenbroker
