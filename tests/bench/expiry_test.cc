// A thousand tokens of a real broker that all expire in one minute: none before its time, and hardly any late.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <vector>

#include "tests/bench/rpc_load.h"
#include "tests/integration/broker_process.h"

namespace tokenbroker::bench {
namespace {

constexpr int kTokens = 1'000;
constexpr int kInFlight = 32;
constexpr std::chrono::seconds kTtl(60);

// The value of the line of the page /metrics that begins like this; -1 if there is none.
double MetricOf(const std::string& page, const std::string& key) {
  const std::size_t at = page.find("\n" + key + " ");
  return at == std::string::npos ? -1 : std::stod(page.substr(at + key.size() + 2));
}

std::int64_t Micros(const google::protobuf::Timestamp& time) {
  return time.seconds() * 1'000'000 + time.nanos() / 1000;
}

class ExpiryTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(house_.StartBroker()) << house_.output(); }
  void TearDown() override { EXPECT_EQ(house_.StopBroker(), 0) << house_.output(); }

  // Creates them at once, so that they expire at nearly the same time.
  void CreateAll() {
    const auto [certificate, key] = house_.ClientFiles("spiffe://test/demo");
    RpcLoad load({house_.grpc_address(), house_.path("ca.pem"), certificate, key});
    v1::CreateTokenRequest request;
    *request.mutable_token() = UserTokenSpec(house_.demo_user(), kTtl);
    int left = kTokens;
    std::mutex mutex;
    KeepInFlight(kInFlight, Span(0),
                 [&](const Done& done) { CreateWhileAnyAreLeft(load, request, left, mutex, done); });
  }

  House house_;

 private:
  static void CreateWhileAnyAreLeft(RpcLoad& load, const v1::CreateTokenRequest& request, int& left, std::mutex& mutex,
                                    const Done& done) {
    bool is_one_left = false;
    {
      const std::lock_guard lock(mutex);
      is_one_left = left > 0;
      if (is_one_left) --left;
    }
    if (!is_one_left) return done("");  // Not under the lock: with the last one, the mutex goes.
    load.Create(request, [&, done](const std::string& error) {
      if (!error.empty()) return done(error);
      CreateWhileAnyAreLeft(load, request, left, mutex, done);
    });
  }
};

TEST_F(ExpiryTest, AThousandEndWithinTwoSecondsOfTheirTime) {
  CreateAll();
  ASSERT_EQ(house_.gitlab().TokensNamed("[tb:test:").size(), std::size_t{kTokens});
  const std::string count = "tokenbroker_revocation_lag_seconds_count";
  EXPECT_TRUE(Eventually([&] { return MetricOf(house_.Fetch("/metrics"), count) >= kTokens; },
                         kTtl + std::chrono::seconds(60)));
  for (const gitlab_sim::TokenView& token : house_.gitlab().TokensNamed("[tb:test:")) EXPECT_FALSE(token.live);

  const std::string page = house_.Fetch("/metrics");
  const auto up_to = [&](const std::string& bound) {
    return MetricOf(page, "tokenbroker_revocation_lag_seconds_bucket{le=\"" + bound + "\"}");
  };
  for (const char* bound : {"0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "1.5", "2", "+Inf"}) {
    std::printf("revocation lag <= %s s: %.0f\n", bound, up_to(bound));
  }
  EXPECT_EQ(MetricOf(page, count), kTokens);
  EXPECT_GE(up_to("2"), kTokens * 999 / 1000);

  // A histogram hides what came too early.
  const absl::StatusOr<std::vector<v1::Token>> tokens =
      house_.Client()->ListAll(/*show_closed=*/true, DeadlineIn(std::chrono::seconds(30)));
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  ASSERT_EQ(tokens->size(), std::size_t{kTokens});
  for (const v1::Token& token : *tokens) {
    EXPECT_EQ(token.state(), v1::TOKEN_STATE_EXPIRED) << token.name();
    EXPECT_GE(Micros(token.revoke_time()), Micros(token.expire_time())) << token.name();
  }
}

}  // namespace
}  // namespace tokenbroker::bench
