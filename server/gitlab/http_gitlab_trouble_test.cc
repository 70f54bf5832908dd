// What the adapter makes of a GitLab that is ill, busy or somebody else.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "server/base/error.h"
#include "server/gitlab/http_gitlab_fixture.h"
#include "tests/gitlab_sim/gitlab_sim.h"

namespace tokenbroker {
namespace {

using absl::StatusCode;
using gitlab_sim::Fault;
using gitlab_sim::GitLabSim;
using std::chrono::milliseconds;

class TroubleTest : public testing::Test {
 protected:
  void SetUp() override {
    sim_ = GitLabSim::Start();
    ASSERT_NE(sim_, nullptr);
    root_ = sim_->AddUser({.username = "root", .admin = true});
    demo_ = sim_->AddUser({.username = "demo-user"});
    project_ = sim_->AddProject({.full_path = "acme/payments"});
    issuer_ = sim_->AddToken({.user_id = root_, .expires_at = "2099-01-01"});
    adapter_ = std::make_unique<AdapterUnderTest>(sim_->url(), issuer_.secret);
    ASSERT_TRUE(adapter_->Run(gitlab().CheckIssuer({})).ok());
    sim_->ClearRequests();
  }

  GitLab& gitlab() { return adapter_->gitlab(); }
  absl::Status Resolve(CallContext call = {}) {
    return adapter_->Run(gitlab().Resolve(std::move(call), {"main", TargetKind::kUser, "demo-user"})).status();
  }
  Ended<Minted> Mint(const std::string& name) {
    return adapter_->Run(gitlab().Mint({}, adapter_->Intent(), SpecFor(UserTarget(demo_), name)));
  }
  Ended<GitLab::Deleted> Revoke(std::int64_t token_id) {
    return adapter_->Run(gitlab().Revoke({}, {UserTarget(demo_), token_id, demo_}));
  }
  bool Lives(std::int64_t token_id) {
    const auto live = sim_->LiveTokens();
    return std::any_of(live.begin(), live.end(), [&](const auto& token) { return token.id == token_id; });
  }
  std::int64_t NewToken() { return sim_->AddToken({.user_id = demo_, .expires_at = "2099-01-01"}).id; }
  static std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

  std::unique_ptr<GitLabSim> sim_;
  std::int64_t root_ = 0, demo_ = 0, project_ = 0;
  gitlab_sim::SeededToken issuer_;
  std::unique_ptr<AdapterUnderTest> adapter_;
};

TEST_F(TroubleTest, ARevokedIssuerGoesSilent) {
  sim_->RevokeToken(issuer_.id);
  const Ended<Minted> end = Mint("tb-x");
  EXPECT_EQ(EndOf(end), "REFUSED ISSUER_DEAD");
  const int asked = sim_->CountRequests("", "");
  EXPECT_GE(asked, 1);
  EXPECT_EQ(ReasonOf(Resolve()), "ISSUER_DEAD");
  EXPECT_EQ(EndOf(Mint("tb-x")), "REFUSED ISSUER_DEAD");
  EXPECT_EQ(EndOf(Revoke(5)), "REFUSED ISSUER_DEAD");
  EXPECT_EQ(sim_->CountRequests("", ""), asked);  // Not a word more.
}

TEST_F(TroubleTest, AnExpiredIssuerIsDeadToo) {
  const gitlab_sim::SeededToken expired = sim_->AddToken({.user_id = root_, .expires_at = "2020-01-01"});
  adapter_ = std::make_unique<AdapterUnderTest>(sim_->url(), expired.secret);
  EXPECT_EQ(ReasonOf(Resolve()), "ISSUER_DEAD");
}

TEST_F(TroubleTest, AnUnknownIssuerIsLookedIntoAndThenSilent) {
  adapter_ = std::make_unique<AdapterUnderTest>(sim_->url(), "glpat-nobody-knows-this-one");
  EXPECT_EQ(ReasonOf(Resolve()), "ISSUER_DEAD");
  EXPECT_EQ(sim_->CountRequests("GET", "/self$"), 1);
  EXPECT_EQ(sim_->CountRequests("", ""), 2);
  EXPECT_EQ(ReasonOf(Resolve()), "ISSUER_DEAD");
  EXPECT_EQ(sim_->CountRequests("", ""), 2);
}

TEST_F(TroubleTest, A401ForWhatIsNotOursKillsNobody) {
  const std::int64_t maria = sim_->AddUser({.username = "maria"});
  const std::string secret = sim_->AddToken({.user_id = maria, .expires_at = "2099-01-01"}).secret;
  adapter_ = std::make_unique<AdapterUnderTest>(sim_->url(), secret);
  const std::int64_t others = NewToken();
  const auto read = adapter_->Run(gitlab().GetToken({}, {UserTarget(demo_), others, demo_}));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_FALSE(read->has_value());
  EXPECT_TRUE(Resolve().ok());
  EXPECT_EQ(EndOf(Revoke(others)), "REFUSED ISSUER_NOT_ALLOWED");
}

TEST_F(TroubleTest, AnExchangedIssuerIsTakenUp) {
  sim_->RevokeToken(issuer_.id);
  EXPECT_EQ(ReasonOf(Resolve()), "ISSUER_DEAD");
  adapter_->WriteIssuer(sim_->AddToken({.user_id = root_, .expires_at = "2099-01-01"}).secret);
  const BootTime began = adapter_->loop().Boot();
  absl::Status status = Resolve();
  while (!status.ok() && adapter_->loop().Boot() < began + seconds(10)) status = Resolve();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_LT(adapter_->loop().Boot() - began, seconds(4));
}

TEST_F(TroubleTest, A429StopsWhoComesNext) {
  sim_->Plan(Fault::TooManyRequests(30).On("POST", "personal_access_tokens$"));
  const Ended<Minted> end = Mint("tb-limited");
  ASSERT_EQ(EndOf(end), "REFUSED UPSTREAM_RATE_LIMITED");
  EXPECT_EQ(RetryAfterOf(std::get<Refused>(end).why), seconds(30));
  EXPECT_TRUE(sim_->TokensNamed("tb-limited").empty());
  const auto slot = adapter_->Run(adapter_->slots().Acquire(adapter_->Within(seconds(10)), {Lane::kCreate, "", ""}));
  EXPECT_EQ(slot.status().code(), StatusCode::kResourceExhausted);
  EXPECT_GT(RetryAfterOf(slot.status()).value_or(Duration(0)), seconds(20));
  // The limit is one on this operation: no other waits for it.
  for (const Lane lane : {Lane::kRevoke, Lane::kResolve, Lane::kLook}) {
    const auto other = adapter_->Run(adapter_->slots().Acquire(adapter_->Within(seconds(10)), {lane, "", ""}));
    EXPECT_TRUE(other.ok()) << other.status();
  }
}

TEST_F(TroubleTest, AVeryLongPauseEndsWithinTwoMinutes) {
  sim_->Plan(Fault::TooManyRequests(2'000'000'000).On("POST", "personal_access_tokens$"));
  ASSERT_EQ(EndOf(Mint("tb-limited")), "REFUSED UPSTREAM_RATE_LIMITED");
  const auto slot = adapter_->Run(adapter_->slots().Acquire(adapter_->Within(seconds(10)), {Lane::kCreate, "", ""}));
  EXPECT_EQ(slot.status().code(), StatusCode::kResourceExhausted);
  EXPECT_LE(RetryAfterOf(slot.status()).value_or(hours(1)), seconds(120));
  const auto revoke = adapter_->Run(adapter_->slots().Acquire(adapter_->Within(seconds(10)), {Lane::kRevoke, "", ""}));
  EXPECT_TRUE(revoke.ok()) << revoke.status();
}

TEST_F(TroubleTest, TheApplicationsOwnLimitIsOneToo) {
  sim_->Plan(Fault::TooManyRequestsJson().On("GET", "/users"));
  const absl::Status status = Resolve();
  EXPECT_EQ(ReasonOf(status), "UPSTREAM_RATE_LIMITED");
  EXPECT_EQ(RetryAfterOf(status), seconds(60));
  EXPECT_NE(MessageOf(status).find("requested too many times"), std::string::npos) << status;
}

TEST_F(TroubleTest, TheLastRequestOfAWindowPausesTheNext) {
  gitlab_sim::Settings settings = sim_->settings();
  settings.rate_limit_headers = true;
  settings.rate_limit_per_minute = 1;
  sim_->set_settings(settings);
  absl::Status status;
  for (int i = 0; i < 3 && status.ok(); ++i) status = Resolve();
  const auto slot = adapter_->Run(adapter_->slots().Acquire(adapter_->Within(Duration(1000)), {Lane::kRevoke, "", ""}));
  EXPECT_FALSE(slot.ok());
}

TEST_F(TroubleTest, AReadOnlyGitLabIsUnavailableNotForbidden) {
  gitlab_sim::Settings settings = sim_->settings();
  settings.read_only = true;
  sim_->set_settings(settings);
  EXPECT_EQ(EndOf(Mint("tb-ro")), "REFUSED UPSTREAM_UNAVAILABLE");
  EXPECT_EQ(EndOf(Revoke(NewToken())), "REFUSED UPSTREAM_UNAVAILABLE");
  EXPECT_TRUE(Resolve().ok());
}

TEST_F(TroubleTest, ASlowGitLabEndsAReadByItsDeadline) {
  Fault slow;
  slow.delay_before = milliseconds(20'000);
  sim_->Plan(Fault(slow).On("GET", "/users"));
  const BootTime began = adapter_->loop().Boot();
  const absl::Status status = Resolve(adapter_->Within(milliseconds(200)));
  EXPECT_EQ(ReasonOf(status), "UPSTREAM_UNAVAILABLE");
  EXPECT_LT(adapter_->loop().Boot() - began, seconds(5));
}

TEST_F(TroubleTest, WhoLeavesEndsARead) {
  Fault slow;
  slow.delay_before = milliseconds(20'000);
  sim_->Plan(Fault(slow).On("GET", "/users"));
  CancelSource source;
  std::future<absl::StatusOr<TargetFacts>> end =
      adapter_->Start(gitlab().Resolve(CallContext(kNever, source), {"main", TargetKind::kUser, "demo-user"}));
  ASSERT_TRUE(sim_->WaitForRequests(1, "GET", "/users"));
  const BootTime left = adapter_->loop().Boot();
  source.Cancel();
  EXPECT_EQ(end.get().status().code(), StatusCode::kCancelled);
  EXPECT_LT(adapter_->loop().Boot() - left, seconds(5));
  EXPECT_EQ(Resolve(CallContext(kNever, source)).code(), StatusCode::kCancelled);  // Left before it began.
}

TEST_F(TroubleTest, APassedDeadlineAsksNothing) {
  EXPECT_FALSE(Resolve(CallContext(adapter_->loop().Boot())).ok());
  EXPECT_EQ(sim_->CountRequests("", ""), 0);
}

TEST_F(TroubleTest, ASlowBodyIsReadToItsEnd) {
  Fault slow;
  slow.body_time = milliseconds(300);
  sim_->Plan(Fault(slow).On("POST", "personal_access_tokens$"));
  EXPECT_EQ(EndOf(Mint("tb-slow")), "DONE");
}

TEST_F(TroubleTest, ProxiesAndSickMachinesAreUnavailable) {
  const std::vector<Fault> faults = {Fault::HtmlError(502),  Fault::HtmlError(503), Fault::HtmlError(504),
                                     Fault::NotResponding(), Fault::HtmlOk(),       Fault::HtmlError(404),
                                     Fault::HtmlError(403)};
  for (const Fault& fault : faults) {
    SCOPED_TRACE(fault.status);
    sim_->Plan(Fault(fault).On("", "", 1));
    const absl::Status status = Resolve();
    EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
    EXPECT_EQ(ReasonOf(status), "UPSTREAM_UNAVAILABLE");
    EXPECT_EQ(MessageOf(status).find('<'), std::string::npos) << status;
    sim_->Plan(Fault(fault).On("POST", ""));
    EXPECT_EQ(EndOf(Mint("tb-sick")), "UNKNOWN UPSTREAM_UNAVAILABLE");
    sim_->Plan(Fault(fault).On("DELETE", ""));
    EXPECT_EQ(EndOf(Revoke(NewToken())), "UNKNOWN UPSTREAM_UNAVAILABLE");
  }
  sim_->Plan(Fault::ResourceLock().On("GET", ""));
  EXPECT_EQ(Resolve().code(), StatusCode::kUnavailable);
  EXPECT_EQ(sim_->PendingFaults(), 0);
}

TEST_F(TroubleTest, AProxys404IsNotAnAbsentToken) {
  sim_->Plan(Fault::HtmlError(404).On("GET", "/personal_access_tokens/"));
  const auto read = adapter_->Run(gitlab().GetToken({}, {UserTarget(demo_), NewToken(), demo_}));
  EXPECT_EQ(ReasonOf(read.status()), "UPSTREAM_UNAVAILABLE");
}

TEST_F(TroubleTest, AReadsRedirectIsNotFollowed) {
  sim_->Plan(Fault::Redirect(302, sim_->url() + "/api/v4/elsewhere").On("GET", "/users"));
  EXPECT_EQ(ReasonOf(Resolve()), "UPSTREAM_UNAVAILABLE");
  EXPECT_EQ(sim_->CountRequests("", "elsewhere"), 0);
}

TEST_F(TroubleTest, AHugeErrorIsCut) {
  Fault huge;
  huge.action = Fault::Action::kAnswer;
  huge.status = 500;
  huge.headers = {{"Content-Type", "text/plain"}};
  huge.body = "begin " + issuer_.secret + " ";
  while (huge.body.size() < 64 * 1024) huge.body += "\xC3\xA9";
  sim_->Plan(Fault(huge).On("GET", "/users"));
  const absl::Status status = Resolve();
  EXPECT_EQ(ReasonOf(status), "UPSTREAM_UNAVAILABLE");
  EXPECT_LT(status.message().size(), 600u);
  EXPECT_NE(MessageOf(status).find("begin [redacted]"), std::string::npos) << status;
  EXPECT_EQ(MessageOf(status).find(issuer_.secret), std::string::npos);
}

TEST_F(TroubleTest, ACutAnswerIsUnavailable) {
  Fault cut;
  cut.action = Fault::Action::kTruncate;
  sim_->Plan(Fault(cut).On("GET", "/users", -1));
  EXPECT_EQ(ReasonOf(Resolve()), "UPSTREAM_UNAVAILABLE");
  sim_->ClearFaults();
  // JSON that ends too early in an answer that is whole.
  Fault half;
  half.action = Fault::Action::kAnswer;
  half.status = 200;
  half.headers = {{"Content-Type", "application/json"}, {"X-Gitlab-Meta", "{}"}};
  half.body = R"([{"id":3,"username":"demo-us)";
  sim_->Plan(Fault(half).On("GET", "/users"));
  EXPECT_EQ(ReasonOf(Resolve()), "UPSTREAM_UNAVAILABLE");
  half.body = R"([{"id":3,"name":"tb")";
  sim_->Plan(Fault(half).On("GET", "/personal_access_tokens"));
  UpstreamQuery query;
  query.target = UserTarget(demo_);
  EXPECT_EQ(ReasonOf(adapter_->Run(gitlab().ListTokens({}, query)).status()), "UPSTREAM_UNAVAILABLE");
}

TEST_F(TroubleTest, AListThatBreaksOffIsNoList) {
  for (int i = 0; i < 150; ++i) NewToken();
  sim_->Plan(Fault::HtmlError(502).On("GET", "page=2$"));
  UpstreamQuery query;
  query.target = UserTarget(demo_);
  EXPECT_FALSE(adapter_->Run(gitlab().ListTokens({}, query)).ok());
  EXPECT_EQ(adapter_->Run(gitlab().ListTokens({}, query))->size(), 151u);  // With the issuer's own.
}

TEST_F(TroubleTest, OddKeysAndMissingTotalsAreNoTrouble) {
  gitlab_sim::Settings settings = sim_->settings();
  settings.unknown_fields = true;
  settings.omit_totals = true;
  sim_->set_settings(settings);
  for (int i = 0; i < 101; ++i) NewToken();
  UpstreamQuery query;
  query.target = UserTarget(demo_);
  query.user_id = demo_;
  const auto list = adapter_->Run(gitlab().ListTokens({}, query));
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->size(), 101u);
  EXPECT_EQ(EndOf(Mint("tb-odd")), "DONE");
  EXPECT_TRUE(Resolve().ok());
}

TEST_F(TroubleTest, GitLabsClockIsThatOfItsOwnResponsesAlone) {
  sim_->AdvanceClock(std::chrono::minutes(3));
  ASSERT_TRUE(Resolve().ok());
  ASSERT_TRUE(gitlab().Time().has_value());
  const UpstreamTime time = *gitlab().Time();
  EXPECT_GT(time.date - adapter_->loop().Now(), seconds(170));
  EXPECT_LT(time.date - adapter_->loop().Now(), seconds(190));
  for (const int status : {200, 204, 302, 404, 429, 502}) {
    sim_->Plan(Fault::Proxy(status, "{}", std::chrono::hours(240)).On("GET", "", 1));
    (void)Resolve();
    EXPECT_EQ(gitlab().Time()->date, time.date) << status;
    EXPECT_EQ(gitlab().Time()->received, time.received) << status;
    sim_->ClearFaults();
  }
}

// What stands in front of GitLab may answer anything, success too, and GitLab has not seen the request.
TEST_F(TroubleTest, AnUnmarkedSuccessShowsNothing) {
  const std::int64_t id = NewToken();
  sim_->Plan(Fault::Proxy(204).On("DELETE", ""));
  EXPECT_EQ(EndOf(Revoke(id)), "UNKNOWN UPSTREAM_UNAVAILABLE");
  EXPECT_TRUE(Lives(id));
  sim_->Plan(Fault::Proxy(201, R"({"id":99,"user_id":2,"name":"tb-proxy","revoked":false,"active":true,)"
                               R"("scopes":["read_api"],"expires_at":"2099-01-01","token":"glpat-x"})")
                 .On("POST", ""));
  EXPECT_EQ(EndOf(Mint("tb-proxy")), "UNKNOWN UPSTREAM_UNAVAILABLE");
  sim_->Plan(
      Fault::Proxy(200, R"({"id":)" + std::to_string(id) + R"(,"user_id":2,"name":"x","revoked":true})").On("GET", ""));
  const auto read = adapter_->Run(gitlab().GetToken({}, {UserTarget(demo_), id, demo_}));
  EXPECT_EQ(ReasonOf(read.status()), "UPSTREAM_UNAVAILABLE");
  EXPECT_NE(MessageOf(read.status()).find("X-Gitlab-Meta"), std::string::npos) << read.status();
  UpstreamQuery query;
  query.target = UserTarget(demo_);
  query.user_id = demo_;
  sim_->Plan(Fault::Proxy(200, "[]").On("GET", ""));
  EXPECT_EQ(ReasonOf(adapter_->Run(gitlab().ListTokens({}, query)).status()), "UPSTREAM_UNAVAILABLE");
  sim_->Plan(Fault::Proxy(200, R"([{"id":2,"username":"demo-user","state":"active"}])").On("GET", ""));
  EXPECT_EQ(ReasonOf(Resolve()), "UPSTREAM_UNAVAILABLE");
  sim_->Plan(Fault::Proxy(200, R"({"id":1,"user_id":1,"scopes":["api"]})").On("GET", "/personal_access_tokens/self$"));
  EXPECT_EQ(ReasonOf(adapter_->Run(gitlab().CheckIssuer({})).status()), "UPSTREAM_UNAVAILABLE");
  // Nobody's 200 makes an administrator, and nobody's 404 is an absence.
  sim_->Plan(Fault::Proxy(200, "{}").On("GET", "/application/settings$"));
  EXPECT_EQ(ReasonOf(adapter_->Run(gitlab().ConfirmNotFound({}, {UserTarget(demo_), 77, demo_})).status()),
            "UPSTREAM_UNAVAILABLE");
  sim_->Plan(Fault::Proxy(404, "{}").On("GET", "/personal_access_tokens/77$"));
  EXPECT_FALSE(*adapter_->Run(gitlab().ConfirmNotFound({}, {UserTarget(demo_), 77, demo_})));
}

TEST_F(TroubleTest, ALaggingReplicaAnswers404ForALiveToken) {
  gitlab_sim::Settings settings = sim_->settings();
  settings.by_id_lag = std::chrono::seconds(60);
  sim_->set_settings(settings);
  const std::int64_t id = NewToken();
  EXPECT_EQ(EndOf(Revoke(id)), "REFUSED UPSTREAM_NOT_FOUND");
  EXPECT_FALSE(adapter_->Run(gitlab().GetToken({}, {UserTarget(demo_), id, demo_}))->has_value());
  // Which is why the broker does not let a 404 confirm anything before `settle`.
  EXPECT_TRUE(*adapter_->Run(gitlab().ConfirmNotFound({}, {UserTarget(demo_), id, demo_})));
  sim_->AdvanceClock(std::chrono::seconds(61));
  EXPECT_EQ(EndOf(Revoke(id)), "DONE");
}

// A firewall closes the administrator's routes: a maintainer's credential does all that it needs without them.
TEST_F(TroubleTest, AClosedSettingsRouteStopsNoMaintainer) {
  const std::int64_t maria = sim_->AddUser({.username = "maria"});
  sim_->AddProjectMember(project_, maria, 40);
  const std::string secret = sim_->AddToken({.user_id = maria, .expires_at = "2099-01-01"}).secret;
  for (const int status : {403, 404, 500, 502, 302}) {
    SCOPED_TRACE(status);
    adapter_ = std::make_unique<AdapterUnderTest>(sim_->url(), secret);
    sim_->ClearFaults();
    sim_->Plan(Fault::Proxy(status, "<html>closed</html>").On("GET", "/application/settings$", -1));
    EXPECT_TRUE(Resolve().ok()) << Resolve();
    const Ended<Minted> made =
        adapter_->Run(gitlab().Mint({}, adapter_->Intent(), SpecFor(ProjectTarget(project_), "tb-closed")));
    ASSERT_EQ(EndOf(made), "DONE");
    const UpstreamToken& token = std::get<Minted>(made).token;
    const UpstreamRef ref{ProjectTarget(project_), token.id, token.user_id};
    EXPECT_TRUE(adapter_->Run(gitlab().GetToken({}, ref))->has_value());
    UpstreamQuery query;
    query.target = ProjectTarget(project_);
    query.search = "tb-closed";
    EXPECT_EQ(adapter_->Run(gitlab().ListTokens({}, query))->size(), 1u);
    EXPECT_EQ(EndOf(adapter_->Run(gitlab().Revoke({}, ref))), "DONE");
    EXPECT_TRUE(*adapter_->Run(gitlab().ConfirmNotFound({}, {ProjectTarget(project_), 77, 99'999})));
    const auto facts = adapter_->Run(gitlab().CheckIssuer({}));
    ASSERT_TRUE(facts.ok()) << facts.status();
    EXPECT_FALSE(facts->is_admin_known);
    // Everybody's tokens are an administrator's to list.
    query.whole_instance = true;
    EXPECT_FALSE(adapter_->Run(gitlab().ListTokens({}, query)).ok());
  }
}

// Before anything of libcurl's reads them: each test has a process's environment, each adapter a loop of its own.
TEST_F(TroubleTest, ProxyVariablesOfTheEnvironmentHaveNoEffect) {
  for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}) {
    setenv(name, "http://127.0.0.1:1", 1);
  }
  adapter_ = std::make_unique<AdapterUnderTest>(sim_->url(), issuer_.secret);
  EXPECT_TRUE(Resolve().ok());
  EXPECT_EQ(EndOf(Mint("tb-proxy")), "DONE");
  for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}) {
    unsetenv(name);
  }
}

}  // namespace
}  // namespace tokenbroker
