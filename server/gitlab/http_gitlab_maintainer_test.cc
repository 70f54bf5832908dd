// The adapter with the credential of a project's Maintainer, who is no administrator.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <variant>

#include "server/base/error.h"
#include "server/gitlab/http_gitlab_fixture.h"
#include "tests/gitlab_sim/gitlab_sim.h"

namespace tokenbroker {
namespace {

using gitlab_sim::Fault;
using gitlab_sim::GitLabSim;
using std::chrono::days;

class MaintainerTest : public testing::Test {
 protected:
  void SetUp() override {
    sim_ = GitLabSim::Start();
    ASSERT_NE(sim_, nullptr);
    maria_ = sim_->AddUser({.username = "maria"});
    project_ = sim_->AddProject({.full_path = "acme/payments"});
    sim_->AddProjectMember(project_, maria_, 40);
    const std::string secret = sim_->AddToken({.user_id = maria_, .expires_at = "2099-01-01"}).secret;
    adapter_ = std::make_unique<AdapterUnderTest>(sim_->url(), secret);
    ASSERT_FALSE(adapter_->Run(gitlab().CheckIssuer({}))->is_admin);
  }

  GitLab& gitlab() { return adapter_->gitlab(); }
  Date Today() { return DateOf(adapter_->loop().Now()); }
  Ended<Minted> Mint(ResolvedTarget target, Date expires_at) {
    MintSpec spec = SpecFor(std::move(target), "tb-dated");
    spec.expires_at = expires_at;
    return adapter_->Run(gitlab().Mint({}, adapter_->Intent(), std::move(spec)));
  }
  static std::optional<Date> LatestDateOf(const Ended<Minted>& end) {
    const auto* rejected = std::get_if<Refused>(&end);
    return rejected == nullptr ? std::nullopt : rejected->latest_date;
  }
  bool IsLive(std::int64_t token_id) {
    const auto live = sim_->LiveTokens();
    return std::any_of(live.begin(), live.end(), [&](const auto& token) { return token.id == token_id; });
  }

  std::unique_ptr<GitLabSim> sim_;
  std::int64_t maria_ = 0, project_ = 0;
  std::unique_ptr<AdapterUnderTest> adapter_;
};

// "Must be before" a date that is itself allowed.
TEST_F(MaintainerTest, ARejectedDateNamesTheLastOneThatIsAllowed) {
  gitlab_sim::Settings settings = sim_->settings();
  settings.max_lifetime_days = 30;
  sim_->set_settings(settings);
  const Ended<Minted> rejected = Mint(ProjectTarget(project_), Today() + days(31));
  EXPECT_EQ(EndOf(rejected), "REFUSED UPSTREAM_INVALID");
  ASSERT_EQ(LatestDateOf(rejected), Today() + days(30));
  EXPECT_EQ(EndOf(Mint(ProjectTarget(project_), *LatestDateOf(rejected))), "DONE");

  sim_->SetAdmin(maria_, true);
  const Ended<Minted> of_user = Mint(UserTarget(maria_), Today() + days(31));  // 422, in other words.
  EXPECT_EQ(EndOf(of_user), "REFUSED UPSTREAM_INVALID");
  EXPECT_EQ(LatestDateOf(of_user), Today() + days(30));
}

TEST_F(MaintainerTest, OtherRejectionsNameNoDate) {
  EXPECT_EQ(LatestDateOf(Mint(ProjectTarget(99'999), Today() + days(2))), std::nullopt);
  sim_->Plan(Fault::Proxy(400, R"({"message":"Expires at must be before 2026-01-01"})").On("POST", ""));
  const Ended<Minted> proxy = Mint(ProjectTarget(project_), Today() + days(2));
  EXPECT_EQ(EndOf(proxy), "UNKNOWN UPSTREAM_UNAVAILABLE");
  EXPECT_EQ(LatestDateOf(proxy), std::nullopt);
}

// The operator makes the credential an administrator's, so that the broker can revoke what it could not see.
TEST_F(MaintainerTest, ANewAdministratorFindsATokenWhoseBotLeftItsProjectAtOnce) {
  for (const bool read_first : {true, false}) {
    sim_->SetAdmin(maria_, false);
    const Ended<Minted> made = Mint(ProjectTarget(project_), Today() + days(2));
    ASSERT_EQ(EndOf(made), "DONE");
    const UpstreamToken& token = std::get<Minted>(made).token;
    const UpstreamRef ref{ProjectTarget(project_), token.id, token.user_id};
    sim_->RemoveProjectMember(project_, token.user_id);
    EXPECT_EQ(EndOf(adapter_->Run(gitlab().Revoke({}, ref))), "REFUSED UPSTREAM_NOT_FOUND");
    EXPECT_FALSE(adapter_->Run(gitlab().GetToken({}, ref))->has_value());
    sim_->SetAdmin(maria_, true);
    if (read_first) {
      EXPECT_TRUE(adapter_->Run(gitlab().GetToken({}, ref))->has_value());
    }
    EXPECT_EQ(EndOf(adapter_->Run(gitlab().Revoke({}, ref))), "DONE");
    EXPECT_FALSE(IsLive(token.id));
  }
}

// Both halves of a confirmation are asked for with one credential: another one may see less.
TEST_F(MaintainerTest, ACredentialThatChangesInBetweenConfirmsNothing) {
  const std::int64_t anna = sim_->AddUser({.username = "anna"});
  sim_->AddProjectMember(project_, anna, 40);
  const std::string annas = sim_->AddToken({.user_id = anna, .expires_at = "2099-01-01"}).secret;
  const UpstreamRef absent{ProjectTarget(project_), 77, 99'999};
  ASSERT_TRUE(*adapter_->Run(gitlab().ConfirmNotFound({}, absent)));
  sim_->ClearRequests();
  Fault slow;
  slow.delay_after = std::chrono::hours(1);
  sim_->Plan(std::move(slow).On("GET", "/access_tokens/77$"));
  std::future<absl::StatusOr<bool>> confirmed = adapter_->Start(gitlab().ConfirmNotFound({}, absent));
  ASSERT_TRUE(sim_->WaitForRequests(1, "GET", "/access_tokens/77$"));
  adapter_->WriteIssuer(annas);
  while (adapter_->Run(gitlab().CheckIssuer(adapter_->Within(seconds(30))))->user_id != anna) {
    ASSERT_EQ(confirmed.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  }
  sim_->AdvanceClock(std::chrono::hours(1));
  const absl::StatusOr<bool> answer = confirmed.get();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_FALSE(*answer);
  EXPECT_TRUE(*adapter_->Run(gitlab().ConfirmNotFound({}, absent)));
}

// A firewall that drops what goes to the administrator's routes: the rest of the call's time is for what needs none.
TEST_F(MaintainerTest, ASettingsRouteThatHangsStopsNoConfirmation) {
  Fault hangs;
  hangs.delay_before = std::chrono::hours(24);
  sim_->Plan(std::move(hangs).On("GET", "/application/settings$", -1));
  const auto confirmed =
      adapter_->Run(gitlab().ConfirmNotFound(adapter_->Within(seconds(30)), {ProjectTarget(project_), 77, 99'999}));
  ASSERT_TRUE(confirmed.ok()) << confirmed.status();
  EXPECT_TRUE(*confirmed);
}

// The other way round: what needs no administrator goes on without.
TEST_F(MaintainerTest, AnAdministratorWhoIsOneNoMoreStillListsItsProjects) {
  sim_->SetAdmin(maria_, true);
  ASSERT_TRUE(adapter_->Run(gitlab().CheckIssuer({}))->is_admin);
  const Ended<Minted> made = Mint(ProjectTarget(project_), Today() + days(2));
  ASSERT_EQ(EndOf(made), "DONE");
  sim_->SetAdmin(maria_, false);
  UpstreamQuery query;
  query.target = ProjectTarget(project_);
  query.user_id = std::get<Minted>(made).token.user_id;
  const auto list = adapter_->Run(gitlab().ListTokens({}, query));
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->size(), 1u);
}

}  // namespace
}  // namespace tokenbroker
