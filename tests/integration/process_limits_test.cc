// Signals and limits of the process.

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>

#include "tests/integration/broker_process.h"

namespace tokenbroker {
namespace {

using std::chrono::seconds;

TEST(ProcessLimitsTest, OnlyTerminationEndsTheBroker) {
  House house;
  ASSERT_TRUE(house.StartBroker()) << house.output();
  const std::unique_ptr<TokenClient> client = house.Client();
  for (const int number : {SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}) {
    house.broker().Signal(number);
    const std::string line = "\"signal\":" + std::to_string(number);
    EXPECT_TRUE(Eventually([&] { return house.output().find(line) != std::string::npos; })) << number;
    EXPECT_TRUE(client->Create(UserTokenSpec(house.demo_user()), {}, DeadlineIn(seconds(20))).ok()) << number;
  }
  const auto asked = std::chrono::steady_clock::now();
  EXPECT_EQ(house.StopBroker(), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - asked, seconds(10));
}

TEST(ProcessLimitsTest, ConnectionsAreBoundedByTheDescriptorsThatThereAre) {
  House house;
  house.command() = {"/bin/sh", "-c", std::string("ulimit -n 400; exec ") + std::getenv("TOKENBROKERD") + " \"$@\"",
                     "tokenbrokerd"};
  ASSERT_TRUE(house.StartBroker()) << house.output();
  EXPECT_NE(house.output().find("fewer connections than configured"), std::string::npos) << house.output();
  EXPECT_TRUE(house.Client()->Create(UserTokenSpec(house.demo_user()), {}, DeadlineIn(seconds(20))).ok());
}

TEST(ProcessLimitsTest, ListensOnIpv6) {
  House house;
  house.EditConfig("http: 127.0.0.1:0", "http: '[::1]:0'");
  house.EditConfig("grpc: 127.0.0.1:0", "grpc: '[::1]:0'");
  ASSERT_TRUE(house.StartBroker()) << house.output();
  EXPECT_NE(house.output().find("\"http\":\"[::1]:"), std::string::npos) << house.output();
  int status = 0;
  (void)house.Fetch("/livez", &status);
  EXPECT_EQ(status, 200);
}

}  // namespace
}  // namespace tokenbroker
