// A GitLab that does not respond, and a target that alone does not: what they cost GitLab, and how soon what waited is
// done afterwards.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/broker/broker_fixture.h"
#include "server/telemetry/metrics_page.h"

namespace tokenbroker {
namespace {

class OutageTest : public BrokerTest {
 protected:
  static CreateRequest TokenOf(const std::string& project, Duration ttl) {
    CreateRequest request = ProjectToken();
    request.target.ref = project;
    request.ttl = ttl;
    return request;
  }

  Token Make(const CreateRequest& request) {
    const absl::StatusOr<Created> created = Create(request);
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? created->token : Token();
  }

  std::vector<std::string> AddProjects(int count) {
    std::vector<std::string> paths;
    for (int i = 0; i < count; ++i) {
      paths.push_back("acme/p" + std::to_string(i));
      gitlab_.AddProject(100 + i, paths.back());
    }
    return paths;
  }

  int RequestsIn(Duration time) {
    const int before = gitlab_.requests();
    Pass(time);
    return gitlab_.requests() - before;
  }

  bool HasMetric(const std::string& line) {
    return MetricsPage(metrics_).find('\n' + line + '\n') != std::string::npos;
  }
};

TEST_F(OutageTest, TwoThousandDueTokensCostARequestASecondAndEndSoonAfterIt) {
  const std::vector<std::string> projects = AddProjects(40);
  StartJobs();
  for (int i = 0; i < 2000; ++i) Make(TokenOf(projects[static_cast<std::size_t>(i % 40)], minutes(1)));
  EXPECT_TRUE(HasMetric("tokenbroker_upstream_circuit_open 0"));
  gitlab_.set_down(true);
  Pass(seconds(70));
  EXPECT_TRUE(HasMetric("tokenbroker_upstream_circuit_open 1"));
  EXPECT_LE(RequestsIn(minutes(2)), 125);
  EXPECT_GE(RequestsIn(minutes(1)), 55);
  EXPECT_EQ(gitlab_.live().size(), 2000u);
  gitlab_.set_down(false);
  Pass(seconds(15));
  EXPECT_TRUE(gitlab_.live().empty());
  EXPECT_TRUE(HasMetric("tokenbroker_upstream_circuit_open 0"));
}

TEST_F(OutageTest, ACallFailsAtOnceWhileGitLabDoesNotRespond) {
  const std::vector<std::string> projects = AddProjects(10);
  StartJobs();
  for (const std::string& project : projects) Make(TokenOf(project, minutes(1)));
  gitlab_.set_down(true);
  Pass(seconds(70));
  const int before = gitlab_.requests();
  const absl::Status down = Create(TokenOf("acme/payments", hours(1))).status();
  EXPECT_EQ(down.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(down), "UPSTREAM_UNAVAILABLE");
  EXPECT_EQ(RetryAfterOf(down), seconds(1));
  EXPECT_EQ(gitlab_.requests(), before);
  gitlab_.set_down(false);
  Pass(seconds(2));
  EXPECT_TRUE(Create(TokenOf("acme/payments", hours(1))).ok());
}

TEST_F(OutageTest, WithoutJobsACallIsTheProbe) {
  const std::vector<std::string> projects = AddProjects(10);
  gitlab_.set_down(true);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Create(TokenOf(projects[static_cast<std::size_t>(i)], hours(1))).ok());
  EXPECT_TRUE(HasMetric("tokenbroker_upstream_circuit_open 1"));
  gitlab_.set_down(false);
  EXPECT_EQ(ReasonOf(Create(TokenOf(projects[6], hours(1))).status()), "UPSTREAM_UNAVAILABLE");
  loop_.Advance(seconds(1));
  EXPECT_TRUE(Create(TokenOf(projects[6], hours(1))).ok());
}

TEST_F(OutageTest, ATargetThatAloneDoesNotRespondStopsNothingElse) {
  StartJobs();
  for (int i = 0; i < 200; ++i) Make(TokenOf("acme/payments", minutes(1)));
  gitlab_.AddProject(8, "acme/web");
  gitlab_.set_fails([](const ResolvedTarget& target) { return target.kind == TargetKind::kProject && target.id == 7; });
  Pass(seconds(70));
  int failing = 0;
  for (int i = 0; i < 30; ++i) {
    Make(TokenOf("acme/web", hours(1)));  // Two requests of its own, at most.
    failing += RequestsIn(seconds(20));
  }
  EXPECT_TRUE(HasMetric("tokenbroker_upstream_circuit_open 0"));
  EXPECT_TRUE(HasMetric("tokenbroker_upstream_failing_targets 1"));
  // 1, 2, 4, ... 15 s apart, and the reconciler's own; every due token's each 15 s would be 8,000.
  EXPECT_LE(failing, 80);
  gitlab_.set_fails(nullptr);
  Pass(seconds(90));
  for (const UpstreamToken& live : gitlab_.live()) EXPECT_NE(live.resource_id, 7);
}

}  // namespace
}  // namespace tokenbroker
