#pragma once
// Testonly: a real tokenbrokerd with the pod's descriptors, and what must hold while hostile peers hold what they
// opened: another caller's creates, the probes, the memory and the log stay within their bounds.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/integration/broker_process.h"

namespace tokenbroker {

inline constexpr int kSamples = 5;
inline constexpr std::int64_t kMaxResidentKilobytes = 256 << 10;
inline constexpr int kMaxPeerLines = 60;
inline constexpr std::chrono::milliseconds kMaxProbe(1000);
// Below this, three times the normal latency says more about the test's machine than about the broker.
inline constexpr std::chrono::milliseconds kLatencyFloor(1000);

inline int PortOf(const std::string& address) { return std::stoi(address.substr(address.rfind(':') + 1)); }

template <typename Action>
std::chrono::milliseconds Timed(Action action) {
  const std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
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

// Calls `round` with the numbers from 0 on a thread, until it is destroyed; `round` returns the pause before the next
// one.
class Meanwhile {
 public:
  explicit Meanwhile(std::function<std::chrono::milliseconds(std::size_t)> round) {
    thread_ = std::thread([this, round = std::move(round)] {
      std::unique_lock lock(mutex_);
      while (!stops_) {
        const std::size_t number = rounds_;
        lock.unlock();
        const std::chrono::milliseconds pause = round(number);
        lock.lock();
        ++rounds_;
        changed_.notify_all();
        changed_.wait_for(lock, pause, [this] { return stops_; });
      }
    });
  }
  ~Meanwhile() {
    {
      const std::lock_guard lock(mutex_);
      stops_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Meanwhile(const Meanwhile&) = delete;
  Meanwhile& operator=(const Meanwhile&) = delete;

  void UntilRounds(std::size_t rounds) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), [&] { return rounds_ >= rounds; }));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stops_ = false;
  std::size_t rounds_ = 0;
  std::thread thread_;
};

class HostilePeersTest : public testing::Test {
 protected:
  HostilePeersTest() {
    rlimit files{};
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
    signal(SIGPIPE, SIG_IGN);
    house_.command() = {"/bin/bash", "-c",
                        std::string("ulimit -n 1024; exec ") + std::getenv("TOKENBROKERD") + " \"$@\"", "tokenbrokerd"};
  }
  // Later than the constructors, which may change what is started.
  void SetUp() override {
    ASSERT_TRUE(house_.StartBroker()) << house_.output();
    normal_ = SlowestCreate();
    log_before_ = house_.output().size();
  }

  int grpc_port() const { return PortOf(house_.grpc_address()); }
  int http_port() const { return PortOf(house_.http_address()); }

  // Each by a new connection, with its handshake.
  std::chrono::milliseconds SlowestCreate() {
    std::chrono::milliseconds slowest(0);
    for (int i = 0; i < kSamples; ++i) {
      slowest = std::max(slowest, Timed([&] {
                           const absl::StatusOr<CreatedToken> made = house_.Client()->Create(
                               UserTokenSpec(house_.demo_user()), {}, DeadlineIn(std::chrono::seconds(20)));
                           EXPECT_TRUE(made.ok()) << made.status();
                         }));
    }
    return slowest;
  }

  // Fails if they do not become so within half a minute.
  void UntilCreatesAreFast() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (SlowestCreate() > std::max(3 * normal_, kLatencyFloor)) {
      ASSERT_LT(std::chrono::steady_clock::now(), end);
    }
  }

  std::chrono::milliseconds SlowestProbe() {
    std::chrono::milliseconds slowest(0);
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
    const std::chrono::milliseconds create = SlowestCreate();
    const std::chrono::milliseconds probe = SlowestProbe();
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
  std::chrono::milliseconds normal_{0};
  std::size_t log_before_ = 0;
};

}  // namespace tokenbroker
