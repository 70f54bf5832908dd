// Hostile peers that are callers and speak HTTP/2: unfinished, compressed, reset and unacknowledged streams.

#include <memory>
#include <vector>

#include "tests/adversarial/hostile_fixture.h"
#include "tests/adversarial/http2_peer.h"

namespace tokenbroker {
namespace {

constexpr char kCreate[] = "/tokenbroker.v1.TokenService/CreateToken";

class HostileStreamsTest : public HostilePeersTest {
 protected:
  std::unique_ptr<Http2Peer> Connect(bool acknowledges = true) {
    return std::make_unique<Http2Peer>(grpc_port(), house_.authority().Issue(ClientSpec("spiffe://test/other")),
                                       acknowledges);
  }
};

// The head of a message of 60,000 bytes, and most of them.
TEST_F(HostileStreamsTest, UnfinishedMessages) {
  const std::string part = std::string("\0\0\0\xea\x60", 5) + std::string(50'000, 'x');
  std::vector<std::unique_ptr<Http2Peer>> peers;
  for (int i = 0; i < 3; ++i) {
    peers.push_back(Connect());
    for (std::uint32_t stream = 1; stream < 2 * 990; stream += 2) {
      peers.back()->Send(Http2Peer::Headers(stream, kCreate));
      if (!peers.back()->SendData(stream, part)) break;
    }
  }
  ExpectABoundedCost("3 x 990 unfinished messages");
}

TEST_F(HostileStreamsTest, CompressedMessages) {
  const std::string part = std::string("\1\0\0\xc3\x50", 5) + std::string(50'000, 'x');
  const std::unique_ptr<Http2Peer> peer = Connect();
  for (std::uint32_t stream = 1; stream < 2 * 500; stream += 2) {
    peer->Send(Http2Peer::Headers(stream, kCreate, "gzip"));
    if (!peer->SendData(stream, part)) break;
  }
  ExpectABoundedCost("500 compressed messages");
}

// gRPC 1.51 bounds neither how many streams a peer resets nor what they take meanwhile (docs/security.md says which
// proxy does). What holds is that they delay others no longer than they last, and end nothing.
TEST_F(HostileStreamsTest, StreamsThatAreResetAtOnceDelayOthersNoLongerThanTheyLast) {
  std::unique_ptr<Http2Peer> peer;
  std::uint32_t stream = 1;
  std::size_t sent = 0;
  {
    Meanwhile meanwhile([&](std::size_t) {
      if (peer == nullptr || !peer->is_open()) {
        peer = Connect();
        stream = 1;
      }
      std::string batch;
      for (int i = 0; i < 100; ++i, stream += 2, ++sent) {
        batch += Http2Peer::Headers(stream, kCreate) + Http2Peer::Reset(stream);
      }
      peer->Send(batch);
      peer->ReceiveAll();
      return std::chrono::milliseconds(0);
    });
    meanwhile.UntilRounds(300);
  }
  peer.reset();
  UntilCreatesAreFast();  // What is left of them is done first.
  EXPECT_LE(SlowestProbe(), kMaxProbe);
  EXPECT_LE(PeerLines(), kMaxPeerLines);
  std::cout << sent << " streams were opened and reset: " << (PeakResidentKilobytes() >> 10)
            << " MiB resident at most\n";
}

TEST_F(HostileStreamsTest, SettingsThatAreNeverAcknowledged) {
  const std::unique_ptr<Http2Peer> peer = Connect(/*acknowledges=*/false);
  std::uint32_t stream = 1;
  for (; stream < 2 * 20'000 && peer->is_open(); stream += 2) {
    peer->Send(Http2Peer::Headers(stream, kCreate));
    if (stream % 200 == 1) peer->ReceiveAll();
  }
  ExpectABoundedCost("20,000 streams of a peer that never acknowledges SETTINGS");
  std::cout << stream / 2 << " streams were opened\n";
}

TEST_F(HostileStreamsTest, HeadersWithoutEnd) {
  const std::unique_ptr<Http2Peer> peer = Connect();
  peer->Send(Http2Peer::Frame(Http2Peer::kHeaders, 0, 1, "\x83"));
  const std::string field = std::string("\0\1x\x64", 4) + std::string(100, 'y');
  for (int i = 0; i < 100'000 && peer->is_open(); ++i) {
    peer->Send(Http2Peer::Frame(Http2Peer::kContinuation, 0, 1, field));
    if (i % 100 == 0) peer->ReceiveAll();
  }
  ExpectABoundedCost("10 MB of headers of one call");
}

TEST_F(HostileStreamsTest, PingsWhoseAnswersNobodyReads) {
  const std::unique_ptr<Http2Peer> peer = Connect();
  const std::string ping = Http2Peer::Frame(Http2Peer::kPing, 0, 0, "12345678");
  for (int i = 0; i < 500'000 && peer->is_open(); ++i) peer->Send(ping);
  ExpectABoundedCost("500,000 pings whose answers nobody reads");
}

}  // namespace
}  // namespace tokenbroker
