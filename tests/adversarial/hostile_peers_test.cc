// Hostile peers and networks against a real process with the pod's descriptors: while they hold what they opened,
// another caller's creates, the probes, the memory and the log stay within their bounds.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "server/rpc/raw_peer.h"
#include "tests/integration/broker_process.h"

namespace tokenbroker {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr int kSamples = 5;
constexpr std::int64_t kMaxResidentKilobytes = 256 << 10;
constexpr int kMaxPeerLines = 60;
constexpr milliseconds kMaxProbe(1000);
// Below this, three times the normal latency says more about the test's machine than about the broker.
constexpr milliseconds kLatencyFloor(1000);

int PortOf(const std::string& address) { return std::stoi(address.substr(address.rfind(':') + 1)); }

template <typename Action>
milliseconds Timed(Action action) {
  const steady_clock::time_point begin = steady_clock::now();
  action();
  return duration_cast<milliseconds>(steady_clock::now() - begin);
}

// TCP connections that stay open until the end of the test, or until the broker ends them.
class Connections {
 public:
  Connections() = default;
  ~Connections() {
    for (const int each : sockets_) close(each);
  }
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  // Opens one to the port on loopback and sends `bytes`; what the broker does with it is not looked at.
  void Open(int port, std::string_view bytes) {
    const int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_GE(peer, 0);
    sockets_.push_back(peer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(peer, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    (void)send(peer, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }

 private:
  std::vector<int> sockets_;
};

class HostilePeersTest : public testing::Test {
 protected:
  HostilePeersTest() {
    rlimit files{};
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
    house_.command() = {"/bin/sh", "-c", std::string("ulimit -n 1024; exec ") + std::getenv("TOKENBROKERD") + " \"$@\"",
                        "tokenbrokerd"};
    EXPECT_TRUE(house_.StartBroker()) << house_.output();
    normal_ = SlowestCreate();
    log_before_ = house_.output().size();
  }

  int grpc_port() const { return PortOf(house_.grpc_address()); }
  int http_port() const { return PortOf(house_.http_address()); }

  // Each by a new connection, with its handshake.
  milliseconds SlowestCreate() {
    milliseconds slowest(0);
    for (int i = 0; i < kSamples; ++i) {
      slowest = std::max(slowest, Timed([&] {
                           const absl::StatusOr<CreatedToken> made =
                               house_.Client()->Create(UserTokenSpec(house_.demo_user()), {}, DeadlineIn(seconds(20)));
                           EXPECT_TRUE(made.ok()) << made.status();
                         }));
    }
    return slowest;
  }

  milliseconds SlowestProbe() {
    milliseconds slowest(0);
    for (int i = 0; i < kSamples; ++i) {
      for (const char* const probe : {"/livez", "/readyz"}) {
        int status = 0;
        slowest = std::max(slowest, Timed([&] { (void)house_.Fetch(probe, &status); }));
        EXPECT_EQ(status, 200) << probe;
      }
    }
    return slowest;
  }

  // The most that was resident at any time.
  std::int64_t PeakResidentKilobytes() {
    std::ifstream status("/proc/" + std::to_string(house_.broker().pid()) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("VmHWM:", 0) == 0) return std::stoll(line.substr(6));
    }
    ADD_FAILURE() << "no VmHWM";
    return 0;
  }

  // The lines since the start that no call of a known caller explains. All lines are JSON objects.
  int PeerLines() {
    std::istringstream lines(house_.output().substr(log_before_));
    int count = 0;
    for (std::string line; std::getline(lines, line);) {
      const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      EXPECT_TRUE(json.is_object()) << line;
      if (!json.is_object() || !json.contains("caller")) ++count;
    }
    return count;
  }

  // While the peers hold on. The last line of the test says what was measured.
  void ExpectABoundedCost(std::string_view peers) {
    const milliseconds create = SlowestCreate();
    const milliseconds probe = SlowestProbe();
    const std::int64_t resident = PeakResidentKilobytes();
    const int lines = PeerLines();
    EXPECT_LE(create, std::max(3 * normal_, kLatencyFloor)) << "normal: " << normal_.count() << " ms";
    EXPECT_LE(probe, kMaxProbe);
    EXPECT_LE(resident, kMaxResidentKilobytes);
    EXPECT_LE(lines, kMaxPeerLines);
    std::cout << peers << ": create " << create.count() << " ms (normal " << normal_.count() << " ms), probe "
              << probe.count() << " ms, " << (resident >> 10) << " MiB resident at most, " << lines << " log lines\n";
  }

  House house_;
  milliseconds normal_{0};
  std::size_t log_before_ = 0;
};

TEST_F(HostilePeersTest, SilentConnectionsToTheGrpcPort) {
  Connections silent;
  for (int i = 0; i < 1000; ++i) silent.Open(grpc_port(), "");
  ExpectABoundedCost("1,000 silent connections to the gRPC port");
}

TEST_F(HostilePeersTest, SilentConnectionsToTheHttpPort) {
  Connections silent;
  for (int i = 0; i < 1000; ++i) silent.Open(http_port(), "");
  ExpectABoundedCost("1,000 silent connections to the HTTP port");
}

TEST_F(HostilePeersTest, UnfinishedRequestsToTheHttpPort) {
  Connections unfinished;
  for (int i = 0; i < 1000; ++i) unfinished.Open(http_port(), "GET /metrics HTTP/1.1\r\nX-Endless: ");
  ExpectABoundedCost("1,000 unfinished requests to the HTTP port");
}

TEST_F(HostilePeersTest, HandshakesThatStop) {
  // The head of a TLS record of 512 bytes that do not come.
  constexpr std::string_view kRecordHead("\x16\x03\x01\x02\x00\x01", 6);
  Connections unfinished;
  for (int i = 0; i < 1000; ++i) unfinished.Open(grpc_port(), kRecordHead);
  ExpectABoundedCost("1,000 unfinished handshakes");
}

TEST_F(HostilePeersTest, PortScanners) {
  for (int i = 0; i < 3000; ++i) Connections().Open(grpc_port(), "GET / HTTP/1.0\r\n\r\n");
  ExpectABoundedCost("3,000 port scans");
}

TEST_F(HostilePeersTest, CertificatesOfAnotherAuthority) {
  TestAuthority other("Another authority");
  const TestCertificate certificate = other.Issue(ClientSpec("spiffe://test/demo"));
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(RawPeer(grpc_port()).ShakeHands(certificate, TLS1_2_VERSION, TLS1_2_VERSION), "");
  }
  ExpectABoundedCost("200 certificates of another authority");
}

TEST_F(HostilePeersTest, IdleConnectionsWithACertificate) {
  const TestCertificate certificate = house_.authority().Issue(ClientSpec("spiffe://test/other"));
  std::vector<std::unique_ptr<RawPeer>> idle;
  for (int i = 0; i < 600; ++i) {
    idle.push_back(std::make_unique<RawPeer>(grpc_port()));
    EXPECT_NE(idle.back()->ShakeHands(certificate, TLS1_2_VERSION, TLS1_2_VERSION), "");
  }
  ExpectABoundedCost("600 idle connections with a caller's certificate");
}

}  // namespace
}  // namespace tokenbroker
