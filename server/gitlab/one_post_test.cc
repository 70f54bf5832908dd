// The rule that a POST leaves once, whatever happens to the connection.
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/gitlab/http_gitlab_fixture.h"
#include "tests/gitlab_sim/gitlab_sim.h"

namespace tokenbroker {
namespace {

using gitlab_sim::Fault;
using gitlab_sim::GitLabSim;
using Action = Fault::Action;
using std::chrono::milliseconds;

constexpr char kMintPath[] = "/users/[0-9]+/personal_access_tokens$";

class OnePostTest : public testing::Test {
 protected:
  void SetUp() override {
    sim_ = GitLabSim::Start();
    ASSERT_NE(sim_, nullptr);
    const std::int64_t root = sim_->AddUser({.username = "root", .admin = true});
    user_ = sim_->AddUser({.username = "demo-user"});
    secret_ = sim_->AddToken({.user_id = root, .expires_at = "2099-01-01"}).secret;
    adapter_ = std::make_unique<AdapterUnderTest>(sim_->url(), secret_, 4);
  }

  Task<Ended<Minted>> Mint(const std::string& marker, CallContext call = {}) {
    return adapter_->gitlab().Mint(std::move(call), adapter_->Intent(), SpecFor(UserTarget(user_), marker));
  }
  // A read, after which a connection lies ready to be used again.
  void WarmUp() { ASSERT_TRUE(adapter_->Run(adapter_->gitlab().CheckIssuer({})).ok()); }
  int Posts(const std::string& marker) { return sim_->CountRequests("POST", kMintPath, marker); }

  std::unique_ptr<GitLabSim> sim_;
  std::int64_t user_ = 0;
  std::string secret_;
  std::unique_ptr<AdapterUnderTest> adapter_;
};

TEST_F(OnePostTest, AReusedConnectionThatDiesAfterTheActIsUnknown) {
  for (const Action action : {Action::kActThenClose, Action::kActThenReset}) {
    const std::string marker = "acted" + std::to_string(static_cast<int>(action));
    WarmUp();
    Fault fault;
    fault.action = action;
    sim_->Plan(std::move(fault).On("POST", kMintPath));
    const Ended<Minted> end = adapter_->Run(Mint(marker));
    EXPECT_EQ(EndOf(end), "UNKNOWN UPSTREAM_UNAVAILABLE");
    EXPECT_EQ(Posts(marker), 1);
    EXPECT_EQ(sim_->TokensNamed(marker).size(), 1u);
    EXPECT_EQ(sim_->PendingFaults(), 0);
  }
}

TEST_F(OnePostTest, AReusedConnectionThatDiesBeforeTheActIsUnknownToo) {
  for (const Action action : {Action::kClose, Action::kReset}) {
    const std::string marker = "lost" + std::to_string(static_cast<int>(action));
    WarmUp();
    Fault fault;
    fault.action = action;
    sim_->Plan(std::move(fault).On("POST", kMintPath));
    EXPECT_EQ(EndOf(adapter_->Run(Mint(marker))), "UNKNOWN UPSTREAM_UNAVAILABLE");
    EXPECT_EQ(Posts(marker), 1);
    EXPECT_TRUE(sim_->TokensNamed(marker).empty());
  }
}

TEST_F(OnePostTest, AFreshConnectionThatDiesIsUnknown) {
  Fault fault;
  fault.action = Action::kActThenClose;
  sim_->Plan(std::move(fault).On("POST", kMintPath));
  EXPECT_EQ(EndOf(adapter_->Run(Mint("fresh"))), "UNKNOWN UPSTREAM_UNAVAILABLE");
  EXPECT_EQ(Posts("fresh"), 1);
}

TEST_F(OnePostTest, ACutAnswerIsUnknown) {
  WarmUp();
  Fault fault;
  fault.action = Action::kTruncate;
  sim_->Plan(std::move(fault).On("POST", kMintPath));
  EXPECT_EQ(EndOf(adapter_->Run(Mint("cut"))), "UNKNOWN UPSTREAM_UNAVAILABLE");
  EXPECT_EQ(Posts("cut"), 1);
  EXPECT_EQ(sim_->TokensNamed("cut").size(), 1u);
}

TEST_F(OnePostTest, ALateActIsUnknown) {
  sim_->Plan(Fault::TimeoutThenAct(milliseconds(50)).On("POST", kMintPath));
  EXPECT_EQ(EndOf(adapter_->Run(Mint("late"))), "UNKNOWN UPSTREAM_UNAVAILABLE");
  EXPECT_EQ(Posts("late"), 1);
}

TEST_F(OnePostTest, ARedirectIsNeverFollowed) {
  for (const int status : {301, 302, 307, 308}) {
    const std::string marker = "moved" + std::to_string(status);
    sim_->Plan(Fault::Redirect(status, sim_->url() + "/api/v4/users/1/personal_access_tokens").On("POST", kMintPath));
    EXPECT_EQ(EndOf(adapter_->Run(Mint(marker))), "UNKNOWN UPSTREAM_UNAVAILABLE");
    EXPECT_EQ(Posts(marker), 1);
  }
}

TEST_F(OnePostTest, NobodyIsThereMeansThatNothingWasSent) {
  sim_.reset();
  EXPECT_EQ(EndOf(adapter_->Run(Mint("nobody"))), "REFUSED UPSTREAM_UNAVAILABLE");
}

TEST_F(OnePostTest, AnOldIntentIsNotSent) {
  const Ended<Minted> end =
      adapter_->Run(adapter_->gitlab().Mint({}, adapter_->Intent(seconds(6)), SpecFor(UserTarget(user_), "old")));
  EXPECT_EQ(EndOf(end), "REFUSED UPSTREAM_UNAVAILABLE");
  EXPECT_EQ(Posts("old"), 0);
}

TEST_F(OnePostTest, APassedDeadlineIsNotSent) {
  EXPECT_EQ(EndOf(adapter_->Run(Mint("passed", CallContext(adapter_->loop().Boot())))), "REFUSED UPSTREAM_UNAVAILABLE");
  EXPECT_EQ(Posts("passed"), 0);
}

TEST_F(OnePostTest, NobodysLeavingEndsWhatWasSent) {
  WarmUp();
  Fault slow;
  slow.delay_before = milliseconds(300);
  sim_->Plan(std::move(slow).On("POST", kMintPath));
  CancelSource source;
  std::future<Ended<Minted>> end =
      adapter_->Start(Mint("left", CallContext(adapter_->loop().Boot() + milliseconds(250), source)));
  ASSERT_TRUE(sim_->WaitForRequests(1, "POST", kMintPath));
  source.Cancel();
  EXPECT_EQ(EndOf(end.get()), "DONE");
}

TEST_F(OnePostTest, AHundredMintsOverFourConnectionsOneInTenCut) {
  WarmUp();
  const std::vector<Action> cuts = {Action::kActThenClose, Action::kActThenReset, Action::kClose, Action::kReset,
                                    Action::kTruncate};
  constexpr int kMints = 100;
  std::map<std::string, bool> cut;
  std::vector<std::pair<std::string, std::future<Ended<Minted>>>> mints;
  for (int i = 0; i < kMints; ++i) {
    const std::string marker = "mint-" + std::to_string(i) + "-end";
    cut[marker] = i % 10 == 7;
    if (cut[marker]) {
      Fault fault;
      fault.action = cuts[static_cast<std::size_t>(i / 10) % cuts.size()];
      fault.body_contains = marker;
      sim_->Plan(std::move(fault).On("POST", kMintPath));
    }
  }
  // At most four at a time, so that each finds a connection that was used before.
  for (int i = 0; i < kMints; i += 4) {
    for (int k = i; k < i + 4; ++k) {
      const std::string marker = "mint-" + std::to_string(k) + "-end";
      mints.emplace_back(marker, adapter_->Start(Mint(marker)));
    }
    for (int k = i; k < i + 4; ++k) mints[static_cast<std::size_t>(k)].second.wait();
  }
  for (auto& [marker, end] : mints) {
    EXPECT_EQ(EndOf(end.get()), cut[marker] ? "UNKNOWN UPSTREAM_UNAVAILABLE" : "DONE") << marker;
    EXPECT_EQ(Posts(marker), 1) << marker;
    EXPECT_LE(sim_->TokensNamed(marker).size(), 1u) << marker;
  }
  EXPECT_EQ(sim_->PendingFaults(), 0);
}

}  // namespace
}  // namespace tokenbroker
