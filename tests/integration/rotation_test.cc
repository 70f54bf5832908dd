// Every certificate is replaced while calls run: the broker's own, the caller's, and the authorities of both. No call
// fails, and whoever has only an old certificate is shut out in the end.

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
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

// Whatever is in the files in between, and in whatever order they change, new connections are taken.
class BadCertificatesTest : public RotationTest {
 protected:
  // Each thread makes a new connection for each call.
  void StartConnecting() {
    WriteCertificate("load", house_.authority().Issue(ClientSpec(kCaller)));
    WriteFileOrDie(house_.path("load-ca.pem"), both_);
    for (int i = 0; i < kThreads; ++i) {
      threads_.emplace_back([this, i] {
        while (!stop_) {
          TokenClientOptions options;
          options.address = house_.grpc_address();
          options.ca_file = house_.path("load-ca.pem");
          options.certificate_file = house_.path("load.pem");
          options.key_file = house_.path("load.key");
          options.retry.max_attempts = 1;
          const absl::Status status = Ask(**MakeTokenClient(options));
          ++calls_[i];
          if (status.ok()) continue;
          const std::lock_guard lock(mutex_);
          failures_.push_back(status.ToString());
        }
      });
    }
  }
  bool HasMetric(const std::string& line) { return house_.Fetch("/metrics").find(line) != std::string::npos; }
  // The serial number of the certificate that a new connection is shown is not visible to a client of gRPC: the signer
  // is, by the authority that the client trusts.
  bool Serves(TestAuthority& signer) { return IsHeard(house_.authority(), signer.certificate_pem()); }
};

TEST_F(BadCertificatesTest, NoConnectionFailsWhateverIsInTheFiles) {
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  StartConnecting();
  const std::string certificate = house_.path("server.pem");
  const std::string key = house_.path("server.key");
  const TestCertificate old = house_.authority().Issue(ServerSpec());
  const std::vector<std::function<void()>> spoils = {
      [&] { WriteFileOrDie(certificate, ""); },
      [&] { WriteFileOrDie(key, ""); },
      [&] { WriteFileOrDie(house_.path("ca.pem"), ""); },
      [&] {
        std::filesystem::remove(certificate);
        std::filesystem::create_directory(certificate);
      },
      [&] {
        std::filesystem::remove(key);
        std::filesystem::create_directory(key);
      },
      [&] { std::filesystem::remove(key); },
      [&] { WriteFileOrDie(certificate, next_.Issue(ServerSpec()).certificate_pem); },  // Without its key.
      [&] { WriteFileOrDie(certificate, old.certificate_pem.substr(0, old.certificate_pem.size() / 2)); },
      [&] { WriteFileOrDie(key, old.key_pem.substr(0, old.key_pem.size() / 2)); },
      [&] { WriteFileOrDie(certificate, "# nothing but a comment\n"); },
      [&] {
        WriteFileOrDie(key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
      },
      [&] {
        WriteFileOrDie(house_.path("ca.pem"), house_.authority().certificate_pem() + "-----BEGIN CERTIFICATE-----\n");
      },
  };
  TestAuthority* signer = &house_.authority();
  for (std::size_t i = 0; i < spoils.size(); ++i) {
    SCOPED_TRACE(i);
    spoils[i]();
    ASSERT_TRUE(Eventually([&] { return HasMetric("tokenbroker_files_good{files=\"tls\"} 0"); }));
    ASSERT_TRUE(EachCalls());
    ASSERT_EQ(failures(), std::vector<std::string>());
    // A good set of the other authority is taken.
    signer = signer == &next_ ? &house_.authority() : &next_;
    const TestCertificate good = signer->Issue(ServerSpec());
    std::filesystem::remove_all(certificate);
    std::filesystem::remove_all(key);
    WriteFileOrDie(certificate, good.certificate_pem);
    WriteFileOrDie(key, good.key_pem);
    WriteFileOrDie(house_.path("ca.pem"), both_);
    ASSERT_TRUE(Eventually([&] { return HasMetric("tokenbroker_files_good{files=\"tls\"} 1") && Serves(*signer); }));
    ASSERT_TRUE(EachCalls());
    ASSERT_EQ(failures(), std::vector<std::string>());
  }
  StopLoad();
  EXPECT_EQ(failures(), std::vector<std::string>());
  EXPECT_TRUE(HasMetric("tokenbroker_certificate_expire_time_seconds"));
}

}  // namespace
}  // namespace tokenbroker
