#include "server/rpc/connection_door.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

namespace tokenbroker {
namespace {

int ConnectTo(int port, const char* from = "127.0.0.1") {
  const int peer = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  EXPECT_EQ(inet_pton(AF_INET, from, &own.sin_addr), 1);
  EXPECT_EQ(bind(peer, reinterpret_cast<sockaddr*>(&own), sizeof own), 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(peer, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return peer;
}

// Who comes through a door.
class Visitors {
 public:
  explicit Visitors(ConnectionDoor& door) {
    door.Start([this](int, int connection, const std::string&) { Come(connection); },
               [this](const std::string& peer) {
                 const std::lock_guard lock(mutex_);
                 ended_peer_ = peer;
                 ++refused_;
                 changed_.notify_all();
               });
  }
  ~Visitors() {
    for (const int each : inside_) close(each);
  }

  // Until so many are inside and so many were refused.
  bool Until(std::size_t inside, int refused) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30),
                             [&] { return inside_.size() == inside && refused_ == refused; });
  }
  // Waits for a byte of the connection that came so many before.
  bool HasReceived(std::size_t which) {
    const std::lock_guard lock(mutex_);
    pollfd readable{inside_[which], POLLIN, 0};
    return poll(&readable, 1, 30'000) == 1;
  }
  std::string ended_peer() {
    const std::lock_guard lock(mutex_);
    return ended_peer_;
  }

 private:
  void Come(int connection) {
    const std::lock_guard lock(mutex_);
    inside_.push_back(connection);
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int> inside_;
  int refused_ = 0;
  std::string ended_peer_;
};

// Whether the peer's connection was ended.
bool IsEnded(int peer) {
  char byte = 0;
  return recv(peer, &byte, 1, 0) == 0;
}
bool IsOpen(int peer) {
  char byte = 0;
  return recv(peer, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

TEST(ConnectionDoorTest, EndsTheOldestThatHasSaidNothingForANewConnection) {
  const auto door = ConnectionDoor::Open("127.0.0.1:0", 3);
  ASSERT_TRUE(door.ok()) << door.status();
  Visitors visitors(**door);
  std::vector<int> peers;
  for (const bool speaks : {true, false, false}) {
    peers.push_back(ConnectTo((*door)->port()));
    ASSERT_TRUE(visitors.Until(peers.size(), 0));
    if (!speaks) continue;
    EXPECT_EQ(send(peers.back(), "x", 1, 0), 1);
  }
  ASSERT_TRUE(visitors.HasReceived(0));
  peers.push_back(ConnectTo((*door)->port()));
  EXPECT_TRUE(visitors.Until(4, 1));
  EXPECT_TRUE(IsEnded(peers[1]));
  for (const int open : {0, 2, 3}) EXPECT_TRUE(IsOpen(peers[open])) << open;
  EXPECT_EQ(visitors.ended_peer(), "127.0.0.1");
  (*door)->Close();
  (*door)->EndConnections();
  for (const int open : {0, 2, 3}) EXPECT_TRUE(IsEnded(peers[open])) << open;
  for (const int peer : peers) close(peer);
}

TEST(ConnectionDoorTest, WhereAllHaveSpokenItEndsTheOldestOfTheAddressWithMost) {
  const auto door = ConnectionDoor::Open("0.0.0.0:0", 3);
  ASSERT_TRUE(door.ok()) << door.status();
  Visitors visitors(**door);
  std::vector<int> peers;
  for (const char* const from : {"127.0.0.2", "127.0.0.3", "127.0.0.3"}) {
    peers.push_back(ConnectTo((*door)->port(), from));
    ASSERT_TRUE(visitors.Until(peers.size(), 0));
    EXPECT_EQ(send(peers.back(), "x", 1, 0), 1);
    ASSERT_TRUE(visitors.HasReceived(peers.size() - 1));
  }
  peers.push_back(ConnectTo((*door)->port(), "127.0.0.4"));
  EXPECT_TRUE(visitors.Until(4, 1));
  EXPECT_TRUE(IsEnded(peers[1]));
  for (const int open : {0, 2, 3}) EXPECT_TRUE(IsOpen(peers[open])) << open;
  EXPECT_EQ(visitors.ended_peer(), "127.0.0.3");
  (*door)->Close();
  for (const int peer : peers) close(peer);
}

TEST(ConnectionDoorTest, ListensWhereItIsTold) {
  for (const char* const address : {"127.0.0.1:0", "0.0.0.0:0", "localhost:0"}) {
    const auto door = ConnectionDoor::Open(address, 2);
    ASSERT_TRUE(door.ok()) << address << door.status();
    Visitors visitors(**door);
    const int peer = ConnectTo((*door)->port());
    EXPECT_TRUE(visitors.Until(1, 0)) << address;
    close(peer);
    (*door)->Close();
  }
}

TEST(ConnectionDoorTest, SharesNoPort) {
  const auto door = ConnectionDoor::Open("127.0.0.1:0", 2);
  ASSERT_TRUE(door.ok()) << door.status();
  for (const std::string host : {"127.0.0.1:", "0.0.0.0:"}) {
    const std::string address = host + std::to_string((*door)->port());
    const absl::Status second = ConnectionDoor::Open(address, 2).status();
    EXPECT_TRUE(absl::IsUnavailable(second)) << second;
    EXPECT_NE(second.message().find("cannot listen on " + address), absl::string_view::npos) << second;
  }
  EXPECT_TRUE(absl::IsUnavailable(ConnectionDoor::Open("203.0.113.1:0", 2).status()));  // Nobody's address here.
}

}  // namespace
}  // namespace tokenbroker
