#include "server/rpc/connection_door.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <vector>

namespace tokenbroker {
namespace {

int ConnectTo(int port) {
  const int peer = socket(AF_INET, SOCK_STREAM, 0);
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
    door.Start([this](int, int connection) { Come(connection); },
               [this] {
                 const std::lock_guard lock(mutex_);
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
  // Waits for what becomes of the one who just came: whether it was let in.
  bool NextIsLetIn(std::size_t inside, int refused) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return inside_.size() > inside || refused_ > refused; });
    return inside_.size() > inside;
  }
  // As gRPC ends a connection.
  void PutOut() {
    const std::lock_guard lock(mutex_);
    shutdown(inside_.back(), SHUT_RDWR);
    close(inside_.back());
    inside_.pop_back();
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
};

TEST(ConnectionDoorTest, LetsInAsManyAsItMayAndOthersWhenSomeHaveGone) {
  const auto door = ConnectionDoor::Open("127.0.0.1:0", 2);
  ASSERT_TRUE(door.ok()) << door.status();
  Visitors visitors(**door);
  std::vector<int> peers = {ConnectTo((*door)->port()), ConnectTo((*door)->port())};
  EXPECT_TRUE(visitors.Until(2, 0));
  peers.push_back(ConnectTo((*door)->port()));
  EXPECT_TRUE(visitors.Until(2, 1));
  char byte = 0;
  EXPECT_EQ(recv(peers.back(), &byte, 1, 0), 0);  // Closed at once.
  visitors.PutOut();
  // That one has gone is seen a moment later: until then, more are refused.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  bool is_in = false;
  for (int refused = 1; !is_in; ++refused) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    peers.push_back(ConnectTo((*door)->port()));
    is_in = visitors.NextIsLetIn(1, refused);
  }
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
