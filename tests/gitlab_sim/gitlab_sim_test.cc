// The simulator behind real HTTP: faults, waiting, the management port, many connections.
#include "tests/gitlab_sim/gitlab_sim.h"

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/gitlab_sim/params.h"
#include "tests/gitlab_sim/raw_client.h"

namespace tokenbroker::gitlab_sim {
namespace {

using End = RawReply::End;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

class GitLabSimTest : public ::testing::Test {
 protected:
  GitLabSimTest() : sim_(GitLabSim::Start()), port_(PortOf(sim_->url())), client_(port_) {
    const int64_t root = sim_->AddUser({.username = "root", .admin = true});
    user_ = sim_->AddUser({.username = "dan"});
    TokenSeed token;
    token.user_id = root;
    admin_ = {{"PRIVATE-TOKEN", sim_->AddToken(token).secret}};
    create_path_ = "/api/v4/users/" + std::to_string(user_) + "/personal_access_tokens";
  }

  RawReply Create(const std::string& name, const Headers& more = {}) {
    Headers headers = admin_;
    headers.insert(headers.end(), more.begin(), more.end());
    return client_.Send("POST", create_path_, headers, R"({"name":")" + name + R"(","scopes":["read_user"]})");
  }

  RawReply Manage(const std::string& method, const std::string& target, const std::string& body = "") {
    RawClient client(PortOf(sim_->management_url()));
    return client.Send(method, target, {}, body);
  }

  std::unique_ptr<GitLabSim> sim_;
  uint16_t port_;
  RawClient client_;
  Headers admin_;
  int64_t user_ = 0;
  std::string create_path_;
};

TEST_F(GitLabSimTest, ServesManyRequestsOnOneConnection) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Create("n").status, 201);
  EXPECT_EQ(sim_->OpenConnections(), 1);
  EXPECT_EQ(sim_->CountRequests("POST", "/personal_access_tokens$"), 20);
  EXPECT_EQ(sim_->TokensNamed("n").size(), 20U);
  EXPECT_TRUE(sim_->UnknownRoutes().empty());
}

// The cases that a client which repeats by itself gets wrong: the write happened, the answer did not.
TEST_F(GitLabSimTest, ActsAndThenClosesOrResetsAReusedConnection) {
  EXPECT_EQ(Create("first").status, 201);
  Fault fault;
  fault.action = Fault::Action::kActThenClose;
  sim_->Plan(std::move(fault).On("POST", "/personal_access_tokens$"));
  const RawReply closed = Create("closed");
  EXPECT_EQ(closed.end, End::kClosed);
  EXPECT_EQ(closed.status, 0);
  EXPECT_EQ(sim_->TokensNamed("closed").size(), 1U);
  RawClient second(port_);
  EXPECT_EQ(second.Send("GET", "/api/v4/user", admin_).status, 200);
  Headers headers = admin_;
  headers.emplace_back("X-Sim-Action", "act-then-reset");
  const RawReply reset = second.Send("POST", create_path_, headers, R"({"name":"reset","scopes":["api"]})");
  EXPECT_EQ(reset.end, End::kReset);
  EXPECT_EQ(sim_->TokensNamed("reset").size(), 1U);
  EXPECT_EQ(sim_->PendingFaults(), 0);
  EXPECT_EQ(sim_->CountRequests("POST", "", "closed"), 1);
}

TEST_F(GitLabSimTest, ClosesBeforeActing) {
  Fault fault;
  fault.action = Fault::Action::kClose;
  sim_->Plan(fault);
  EXPECT_EQ(Create("lost").end, End::kClosed);
  EXPECT_TRUE(sim_->TokensNamed("lost").empty());
  EXPECT_FALSE(sim_->Requests().back().acted);
}

TEST_F(GitLabSimTest, MatchesByMethodPathAndBodyAndCounts) {
  Fault fault = Fault::HtmlError(502).On("POST", "/personal_access_tokens$", 2);
  fault.body_contains = "marked";
  sim_->Plan(fault);
  EXPECT_EQ(Create("other").status, 201);
  EXPECT_EQ(client_.Send("GET", "/api/v4/user", admin_).status, 200);
  EXPECT_EQ(Create("marked").status, 502);
  EXPECT_EQ(Create("marked").status, 502);
  EXPECT_EQ(Create("marked").status, 201);
}

TEST_F(GitLabSimTest, CannedAnswers) {
  sim_->Plan(Fault::TooManyRequests(7));
  const RawReply limited = Create("n");
  EXPECT_EQ(limited.status, 429);
  EXPECT_EQ(limited.body, "Retry later\n");
  EXPECT_EQ(FindHeader(limited.headers, "Retry-After"), "7");
  EXPECT_TRUE(FindHeader(limited.headers, "RateLimit-ResetTime"));
  sim_->Plan(Fault::TooManyRequestsJson());
  EXPECT_FALSE(FindHeader(Create("n").headers, "RateLimit-Limit"));
  sim_->Plan(Fault::NotResponding());
  EXPECT_EQ(Create("n").body, "GitLab is not responding");
  sim_->Plan(Fault::HtmlOk());
  EXPECT_EQ(FindHeader(Create("n").headers, "Content-Type"), "text/html");
  sim_->Plan(Fault::Redirect(302, "http://elsewhere.test/"));
  EXPECT_EQ(FindHeader(Create("n").headers, "Location"), "http://elsewhere.test/");
  sim_->Plan(Fault::ResourceLock());
  EXPECT_EQ(Create("n").status, 409);
  EXPECT_TRUE(sim_->TokensNamed("n").empty()) << "none of them acted";
  EXPECT_EQ(Create("n").status, 201) << "and it works again afterwards";
}

TEST_F(GitLabSimTest, AnswersNowAndActsLater) {
  sim_->Plan(Fault::TimeoutThenAct(milliseconds(50)));
  EXPECT_EQ(Create("late").status, 504);
  const auto deadline = steady_clock::now() + std::chrono::seconds(10);
  while (sim_->TokensNamed("late").empty() && steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(sim_->TokensNamed("late").size(), 1U);
}

TEST_F(GitLabSimTest, DelaysDoNotHoldUpOthers) {
  Fault fault;
  fault.delay_before = milliseconds(100);
  fault.delay_after = milliseconds(100);
  sim_->Plan(std::move(fault).On("POST", ""));
  const auto start = steady_clock::now();
  std::thread slow([this] { EXPECT_EQ(Create("slow").status, 201); });
  EXPECT_TRUE(sim_->WaitForRequests(1, "POST", ""));
  RawClient other(port_);
  EXPECT_EQ(other.Send("GET", "/api/v4/user", admin_).status, 200);
  EXPECT_TRUE(sim_->Requests().front().status == 0) << "the slow one still waits";
  slow.join();
  EXPECT_GE(steady_clock::now() - start, milliseconds(200));
}

TEST_F(GitLabSimTest, TornAndSlowBodies) {
  const RawReply torn = Create("torn", {{"X-Sim-Action", "truncate"}});
  EXPECT_EQ(torn.end, End::kClosed);
  EXPECT_EQ(torn.status, 201);
  EXPECT_EQ(torn.body.size(), std::stoul(*FindHeader(torn.headers, "Content-Length")) / 2);
  RawClient client(port_);
  Headers headers = admin_;
  headers.emplace_back("X-Sim-Body-Time-Ms", "100");
  const auto start = steady_clock::now();
  const RawReply slow = client.Send("GET", "/api/v4/user", headers);
  EXPECT_EQ(slow.end, End::kComplete);
  EXPECT_GE(steady_clock::now() - start, milliseconds(100));
}

TEST_F(GitLabSimTest, ClockMovesForward) {
  TokenSeed seed;
  seed.user_id = user_;
  seed.expires_at = "2030-01-02";
  sim_->SetClock(std::chrono::sys_days(std::chrono::year(2030) / 1 / 1) + std::chrono::hours(1));
  const Headers dan = {{"PRIVATE-TOKEN", sim_->AddToken(seed).secret}};
  const RawReply alive = client_.Send("GET", "/api/v4/user", dan);
  EXPECT_EQ(alive.status, 200);
  EXPECT_EQ(FindHeader(alive.headers, "Date")->substr(0, 22), "Tue, 01 Jan 2030 01:00");
  sim_->AdvanceClock(std::chrono::hours(23));
  EXPECT_EQ(client_.Send("GET", "/api/v4/user", dan).status, 401);
  EXPECT_EQ(sim_->LiveTokens().size(), 1U) << "the administrator's has no end";
}

TEST_F(GitLabSimTest, ADelayEndsWhenTheClockMovesPastIt) {
  sim_->Plan(Fault::TimeoutThenAct(std::chrono::hours(2)));
  EXPECT_EQ(Create("late").status, 504);
  sim_->AdvanceClock(std::chrono::minutes(119));
  EXPECT_TRUE(sim_->TokensNamed("late").empty());
  sim_->AdvanceClock(std::chrono::minutes(4));
  ASSERT_EQ(sim_->TokensNamed("late").size(), 1U) << "it has acted when the clock has moved";
  const auto before = sim_->Now() - sim_->TokensNamed("late").front().created_at;
  EXPECT_GT(before, std::chrono::minutes(2)) << "it has acted at its time, not at the end of the move";
}

TEST_F(GitLabSimTest, ARequestThatIsSentTwiceOnItsWayActsTwice) {
  Fault twice;
  twice.acts = 2;
  sim_->Plan(twice);
  EXPECT_EQ(Create("double").status, 201);
  EXPECT_EQ(sim_->TokensNamed("double").size(), 2U);
}

TEST_F(GitLabSimTest, AnAnswerMayComeTwiceOrChanged) {
  Fault twice;
  twice.action = Fault::Action::kAnswerTwice;
  sim_->Plan(twice);
  EXPECT_NE(RawClient(port_).Send("GET", "/api/v4/user", admin_).body.find("HTTP/1.1 200 OK"), std::string::npos);
  Fault changed;
  changed.replace = "\"active\":true";
  changed.replace_with = "\"active\":false";
  sim_->Plan(changed);
  EXPECT_NE(Create("changed").body.find("\"active\":false"), std::string::npos);
}

TEST_F(GitLabSimTest, ManagementPortMirrorsTheLibrary) {
  EXPECT_EQ(Manage("POST", "/faults", R"({"preset":"html-error","number":503,"method":"POST"})").body,
            R"({"pending":1})");
  EXPECT_EQ(Create("n").status, 503);
  EXPECT_EQ(Manage("POST", "/faults", R"({"action":"nonsense"})").status, 400);
  EXPECT_EQ(Manage("GET", "/nowhere").status, 404);
  EXPECT_EQ(Create("n").status, 201);
  EXPECT_NE(Manage("GET", "/tokens?live=true&name=n").body.find("\"name\":\"n\""), std::string::npos);
  EXPECT_EQ(Manage("GET", "/tokens").body.find("secret"), std::string::npos);
  const int64_t id = sim_->TokensNamed("n").front().id;
  EXPECT_EQ(Manage("POST", "/revoke", R"({"token_id":)" + std::to_string(id) + "}").status, 200);
  EXPECT_TRUE(sim_->TokensNamed("n").front().revoked);
  EXPECT_EQ(Manage("POST", "/settings", R"({"admin_mode":true,"list_lag_ms":5})").status, 200);
  EXPECT_TRUE(sim_->settings().admin_mode);
  EXPECT_EQ(sim_->settings().list_lag, milliseconds(5));
  EXPECT_EQ(Manage("POST", "/settings", R"({"no_such":1})").status, 400);
  EXPECT_EQ(Manage("POST", "/users", R"({"username":"eve"})").status, 200);
  EXPECT_EQ(Manage("POST", "/clock", R"({"set":"2031-01-01T00:00:00Z"})").body.substr(0, 18), "{\"now\":\"2031-01-01");
  EXPECT_NE(Manage("GET", "/requests").body.find("\"status\":503"), std::string::npos);
  EXPECT_EQ(Manage("DELETE", "/requests").status, 200);
  EXPECT_TRUE(sim_->Requests().empty());
}

TEST_F(GitLabSimTest, UnknownRoutesAreKept) {
  EXPECT_EQ(client_.Send("GET", "/api/v4/no/such/route", admin_).status, 501);
  EXPECT_EQ(sim_->UnknownRoutes(), std::vector<std::string>{"GET /api/v4/no/such/route"});
}

TEST_F(GitLabSimTest, HoldsManyConnections) {
  std::vector<std::unique_ptr<RawClient>> clients;
  clients.reserve(400);
  for (int i = 0; i < 400; ++i) clients.push_back(std::make_unique<RawClient>(port_));
  for (const auto& client : clients) {
    ASSERT_TRUE(client->connected());
    ASSERT_EQ(client->Send("GET", "/api/v4/user", admin_).status, 200);
  }
  EXPECT_GE(sim_->OpenConnections(), 400);
}

TEST(GitLabSimStartTest, ATakenPortIsReported) {
  const auto first = GitLabSim::Start();
  Options options;
  options.port = PortOf(first->url());
  EXPECT_EQ(GitLabSim::Start(options), nullptr);
}

TEST(GitLabSimStartTest, StopsWhileRequestsWait) {
  auto sim = GitLabSim::Start();
  RawClient client(PortOf(sim->url()));
  std::thread waiting([&client] {
    EXPECT_NE(client.Send("GET", "/api/v4/user", {{"X-Sim-Delay-Before-Ms", "60000"}}).end, End::kComplete);
  });
  EXPECT_TRUE(sim->WaitForRequests(1, "GET", ""));
  sim.reset();
  waiting.join();
}

}  // namespace
}  // namespace tokenbroker::gitlab_sim
