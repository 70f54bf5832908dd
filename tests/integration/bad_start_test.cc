// A start that must not succeed, or not do what it was told by accident: each ends with one clear line.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "client/call_error.h"
#include "tests/integration/broker_process.h"

namespace tokenbroker {
namespace {

using std::chrono::seconds;

struct BadStart {
  std::string name;
  std::function<void(House&)> spoil;
  std::vector<std::string> says;
};

class BadStartTest : public testing::TestWithParam<BadStart> {};

TEST_P(BadStartTest, EndsWithAClearLine) {
  House house;
  GetParam().spoil(house);
  const std::optional<int> code = house.RunBrokerToItsEnd();
  ASSERT_TRUE(code.has_value()) << house.output();
  EXPECT_NE(*code, 0);
  EXPECT_LT(*code, 128) << "died by a signal";
  for (const std::string& part : GetParam().says) {
    EXPECT_NE(house.output().find(part), std::string::npos) << part << "\n" << house.output();
  }
  EXPECT_EQ(house.output().find(house.issuer_secret()), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Starts, BadStartTest,
    testing::ValuesIn<BadStart>({
        {"UnknownField",
         [](House& h) { h.EditConfig("ledger:", "ledgr:"); },
         {"config.yaml:8:1", "ledgr", "did you mean", "ledger"}},
        {"KeyTwice", [](House& h) { h.config() += "broker: again\n"; }, {"config.yaml:17:1", "broker"}},
        {"BadBroker", [](House& h) { h.EditConfig("broker: test", "broker: Test_1"); }, {"config.yaml:1", "broker"}},
        {"PlainHttp",
         [](House& h) { h.EditConfig(h.gitlab().url(), "http://gitlab.example.com"); },
         {"config.yaml:13:10", "https"}},
        {"ShortSettle", [](House& h) { h.EditConfig("log:", "    settle: 10s\nlog:"); }, {"settle", "180s"}},
        {"NoIssuer", [](House& h) { unlink(h.path("issuer").c_str()); }, {"issuer"}},
        {"EmptyIssuer", [](House& h) { WriteFileOrDie(h.path("issuer"), "\n"); }, {"issuer", "empty"}},
        {"TwoLines",
         [](House& h) { WriteFileOrDie(h.path("issuer"), h.issuer_secret() + "\nx\n"); },
         {"issuer", "line"}},
        {"ControlInIssuer",
         [](House& h) { WriteFileOrDie(h.path("issuer"), h.issuer_secret() + "\x1b\n"); },
         {"issuer", "control character"}},
        {"NoCertificate", [](House& h) { unlink(h.path("server.pem").c_str()); }, {"server.pem"}},
        {"OtherKey",
         [](House& h) { WriteFileOrDie(h.path("server.key"), h.authority().Issue(ServerSpec()).key_pem); },
         {"server.key"}},
        {"GrpcTrace", [](House& h) { h.environment().push_back("GRPC_TRACE=http"); }, {"GRPC_TRACE"}},
        {"GrpcDebug", [](House& h) { h.environment().push_back("GRPC_VERBOSITY=DEBUG"); }, {"GRPC_VERBOSITY"}},
        {"KeyLog", [](House& h) { h.environment().push_back("SSLKEYLOGFILE=/dev/null"); }, {"SSLKEYLOGFILE"}},
        {"NoLedgerFolder", [](House& h) { h.EditConfig("ledger.db", "absent/ledger.db"); }, {"absent/ledger.db"}},
    }),
    [](const auto& info) { return info.param.name; });

TEST(StartTest, ABadPolicyDeniesAllUntilAGoodOneComes) {
  House house;
  const std::string good = house.policy();
  house.policy() = good + "rolls: {}\n";
  ASSERT_TRUE(house.StartBroker()) << house.output();
  int status = 0;
  const std::string why = house.Fetch("/readyz", &status);
  EXPECT_EQ(status, 503);
  EXPECT_TRUE(Eventually([&] { return house.output().find("rolls") != std::string::npos; })) << house.output();
  const auto client = house.Client();
  EXPECT_TRUE(absl::IsPermissionDenied(client->GetCaller(DeadlineIn(seconds(20))).status()));
  WriteFileOrDie(house.path("policy.yaml"), good);
  EXPECT_TRUE(Eventually([&] { return client->GetCaller(DeadlineIn(seconds(20))).ok(); })) << house.output();
  house.Fetch("/readyz", &status);
  EXPECT_EQ(status, 200);
}

// The first broker serves on; the second ends and says whose place it wanted.
TEST(StartTest, ASecondBrokerOnAPortOrALedgerDoesNotStart) {
  House first;
  ASSERT_TRUE(first.StartBroker()) << first.output();
  House same_port;
  same_port.EditConfig("grpc: 127.0.0.1:0", "grpc: " + first.grpc_address());
  EXPECT_NE(same_port.RunBrokerToItsEnd().value_or(0), 0) << same_port.output();
  EXPECT_NE(same_port.output().find(first.grpc_address()), std::string::npos) << same_port.output();
  House same_side_door;
  same_side_door.EditConfig("http: 127.0.0.1:0", "http: " + first.http_address());
  EXPECT_NE(same_side_door.RunBrokerToItsEnd().value_or(0), 0);
  EXPECT_NE(same_side_door.output().find(first.http_address()), std::string::npos) << same_side_door.output();
  House same_ledger;
  same_ledger.EditConfig(same_ledger.path("ledger.db"), first.path("ledger.db"));
  EXPECT_NE(same_ledger.RunBrokerToItsEnd().value_or(0), 0);
  EXPECT_NE(same_ledger.output().find(std::to_string(first.broker().pid())), std::string::npos) << same_ledger.output();
  EXPECT_TRUE(first.Client()->GetCaller(DeadlineIn(seconds(20))).ok());
}

TEST(StartTest, AnotherBrokerNameOnALedgerIsRefused) {
  House house;
  ASSERT_TRUE(house.StartBroker()) << house.output();
  ASSERT_EQ(house.StopBroker(), 0) << house.output();
  house.EditConfig("broker: test", "broker: other1");
  EXPECT_NE(house.RunBrokerToItsEnd().value_or(0), 0);
  EXPECT_NE(house.output().find("other1"), std::string::npos) << house.output();
}

TEST(StartTest, LeavesNoCoreAndIgnoresProxies) {
  House house;
  gitlab_sim::Options options;
  const auto trap = gitlab_sim::GitLabSim::Start(options);  // Whatever comes here was sent to a proxy nobody chose.
  for (const char* name : {"http_proxy", "HTTPS_PROXY", "all_proxy"}) {
    house.environment().push_back(std::string(name) + "=" + trap->url());
  }
  ASSERT_TRUE(house.StartBroker()) << house.output();
  ASSERT_TRUE(house.Client()->Create(UserTokenSpec(house.demo_user()), {}, DeadlineIn(seconds(20))).ok());
  EXPECT_TRUE(trap->Requests().empty());
  EXPECT_TRUE(Eventually([&] { return house.output().find("gitlab.proxy") != std::string::npos; })) << house.output();
  rlimit limit{1, 1};
  ASSERT_EQ(prlimit(house.broker().pid(), RLIMIT_CORE, nullptr, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 0u);
  EXPECT_EQ(limit.rlim_max, 0u);
  // An undumpable process's /proc entries belong to root; its dumpable flag shows as "0" nowhere else.
  std::ifstream status("/proc/" + std::to_string(house.broker().pid()) + "/environ");
  EXPECT_TRUE(geteuid() == 0 || !status.good());
}

}  // namespace
}  // namespace tokenbroker
