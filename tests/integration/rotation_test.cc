// Every certificate is replaced while calls run: the broker's own, the caller's, and the authorities of both. No call
// fails, and whoever has only an old certificate is shut out in the end.

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "tests/integration/broker_process.h"

namespace tokenbroker {
namespace {

constexpr int kThreads = 4;
const std::string kCaller = "spiffe://test/demo";

class RotationTest : public testing::Test {
 protected:
  RotationTest() {
    house_.EditConfig("ledger:\n", "  max_connection_age: 3s\nledger:\n");
    both_ = house_.authority().certificate_pem() + next_.certificate_pem();
  }
  ~RotationTest() override { StopLoad(); }

  // A client on files of its own, which it reads before every call.
  std::unique_ptr<TokenClient> ClientOn(const std::string& name, const TestCertificate& certificate,
                                        const std::string& ca, int attempts = 1) {
    WriteCertificate(name, certificate);
    WriteFileOrDie(house_.path(name + "-ca.pem"), ca);
    TokenClientOptions options;
    options.address = house_.grpc_address();
    options.ca_file = house_.path(name + "-ca.pem");
    options.certificate_file = house_.path(name + ".pem");
    options.key_file = house_.path(name + ".key");
    options.reread_interval = Duration(0);
    options.retry.max_attempts = attempts;
    return *MakeTokenClient(options);
  }
  void WriteCertificate(const std::string& name, const TestCertificate& certificate) {
    WriteFileOrDie(house_.path(name + ".key"), certificate.key_pem);
    WriteFileOrDie(house_.path(name + ".pem"), certificate.certificate_pem);
  }
  absl::Status Ask(TokenClient& client) { return client.GetCaller(DeadlineIn(seconds(30))).status(); }
  // Whether a new connection with this certificate is taken by a broker that one of `ca` vouches for.
  bool IsHeard(TestAuthority& signer, const std::string& ca) {
    return Ask(*ClientOn("probe", signer.Issue(ClientSpec(kCaller)), ca)).ok();
  }

  void StartLoad() {
    // A call that meets a connection's end of age is sent once more, as the client does by itself; a certificate that
    // is not taken would fail both times.
    client_ = ClientOn("load", house_.authority().Issue(ClientSpec(kCaller)), house_.authority().certificate_pem(), 2);
    for (int i = 0; i < kThreads; ++i) {
      threads_.emplace_back([this, i] {
        while (!stop_) {
          const absl::Status status = Ask(*client_);
          ++calls_[i];
          if (status.ok()) continue;
          const std::lock_guard lock(mutex_);
          failures_.push_back(status.ToString());
        }
      });
    }
  }
  // Until each thread has begun and ended a call from now on.
  bool EachCalls() {
    std::vector<int> before(calls_.begin(), calls_.end());
    return Eventually([&] {
      for (int i = 0; i < kThreads; ++i) {
        if (calls_[i] < before[i] + 2) return false;
      }
      return true;
    });
  }
  void StopLoad() {
    stop_ = true;
    for (std::thread& each : threads_) each.join();
    threads_.clear();
  }
  std::vector<std::string> failures() {
    const std::lock_guard lock(mutex_);
    return failures_;
  }

  House house_;
  TestAuthority next_{"Next authority"};
  std::string both_;
  std::unique_ptr<TokenClient> client_;
  std::vector<std::thread> threads_;
  std::vector<std::atomic<int>> calls_ = std::vector<std::atomic<int>>(kThreads);
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  std::vector<std::string> failures_;
};

TEST_F(RotationTest, NoCallFailsWhileEveryCertificateIsReplaced) {
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  StartLoad();
  const std::string old_ca = house_.authority().certificate_pem();
  ASSERT_FALSE(IsHeard(next_, old_ca));

  // Both authorities on both sides.
  WriteFileOrDie(house_.path("ca.pem"), both_);
  WriteFileOrDie(house_.path("load-ca.pem"), both_);
  ASSERT_TRUE(Eventually([&] { return IsHeard(next_, old_ca); }));
  ASSERT_TRUE(EachCalls());
  EXPECT_EQ(failures(), std::vector<std::string>());

  // The broker's certificate.
  WriteCertificate("server", next_.Issue(ServerSpec()));
  ASSERT_TRUE(Eventually([&] { return IsHeard(next_, next_.certificate_pem()); }));
  ASSERT_TRUE(EachCalls());
  EXPECT_EQ(failures(), std::vector<std::string>());

  // The caller's.
  WriteCertificate("load", next_.Issue(ClientSpec(kCaller)));
  ASSERT_TRUE(EachCalls());
  EXPECT_EQ(failures(), std::vector<std::string>());

  // The old authority goes: at once for new connections, with their age for those that are open.
  const std::unique_ptr<TokenClient> late = ClientOn("late", house_.authority().Issue(ClientSpec(kCaller)), both_);
  ASSERT_TRUE(Ask(*late).ok());
  WriteFileOrDie(house_.path("load-ca.pem"), next_.certificate_pem());
  WriteFileOrDie(house_.path("ca.pem"), next_.certificate_pem());
  ASSERT_TRUE(Eventually([&] { return !IsHeard(house_.authority(), both_); }));
  ASSERT_TRUE(Eventually([&] { return !Ask(*late).ok(); }));
  ASSERT_TRUE(EachCalls());
  StopLoad();
  EXPECT_EQ(failures(), std::vector<std::string>());
  int calls = 0;
  for (const std::atomic<int>& each : calls_) calls += each;
  RecordProperty("calls", calls);
}

}  // namespace
}  // namespace tokenbroker
