// Hostile peers that speak TCP and TLS: silent, slow, endless, scanning, of other authorities.

#include <openssl/ssl.h>

#include <memory>

#include "server/rpc/raw_peer.h"
#include "tests/adversarial/hostile_fixture.h"

namespace tokenbroker {
namespace {

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

// Of the right authority, and no caller's.
TEST_F(HostilePeersTest, CertificatesOfNoCaller) {
  const TestCertificate certificate = house_.authority().Issue(ClientSpec("spiffe://test/nobody"));
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(RawPeer(grpc_port()).ShakeHands(certificate, TLS1_2_VERSION, TLS1_2_VERSION), "");
  }
  ExpectABoundedCost("200 certificates of no caller");
}

TEST_F(HostilePeersTest, AByteASecond) {
  std::vector<std::unique_ptr<RawPeer>> slow;
  for (int i = 0; i < 200; ++i) slow.push_back(std::make_unique<RawPeer>(i % 2 == 0 ? grpc_port() : http_port()));
  const std::string hello("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
  const std::string request = "GET /livez HTTP/1.1\r\n";
  Meanwhile meanwhile([&](std::size_t second) {
    for (std::size_t i = 0; i < slow.size(); ++i) {
      const std::string& bytes = i % 2 == 0 ? hello : request;
      slow[i]->TryWritePlain(bytes.substr(second % bytes.size(), 1));
    }
    return std::chrono::milliseconds(1000);
  });
  meanwhile.UntilRounds(4);
  ExpectABoundedCost("200 peers that send a byte a second, to both ports");
}

TEST_F(HostilePeersTest, EndlessBytes) {
  std::unique_ptr<RawPeer> peers[8];
  Meanwhile meanwhile([&](std::size_t) {
    for (std::size_t i = 0; i < std::size(peers); ++i) {
      if (peers[i] == nullptr || !peers[i]->TryWritePlain(std::string(16 << 10, 'x'))) {
        peers[i] = std::make_unique<RawPeer>(i % 2 == 0 ? grpc_port() : http_port());
        peers[i]->TryWritePlain(i % 2 == 0 ? std::string("\x16\x03\x01\x40\x00", 5) : "GET / HTTP/1.1\r\nX: ");
      }
    }
    return std::chrono::milliseconds(1);
  });
  meanwhile.UntilRounds(500);
  ExpectABoundedCost("8 peers that send without end, to both ports");
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
