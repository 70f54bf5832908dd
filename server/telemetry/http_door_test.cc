#include "server/telemetry/http_door.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

namespace tokenbroker {
namespace {

// Sends `request` as it is; everything that comes back until the door closes.
std::string Ask(int port, const std::string& request) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t got = 0; (got = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, static_cast<std::size_t>(got));
  }
  close(fd);
  return answer;
}

class HttpDoorTest : public testing::Test {
 protected:
  HttpDoorTest() {
    absl::StatusOr<std::unique_ptr<HttpDoor>> door = HttpDoor::Open("127.0.0.1:0", metrics_, ready());
    EXPECT_TRUE(door.ok()) << door.status();
    if (door.ok()) door_ = *std::move(door);
  }

  std::function<absl::Status()> ready() {
    return [this] { return draining_ ? absl::UnavailableError("draining") : absl::OkStatus(); };
  }
  std::string Request(const std::string& line) const {
    return Ask(door_->port(), line + " HTTP/1.1\r\nHost: door\r\nConnection: close\r\n\r\n");
  }

  Metrics metrics_;
  std::atomic<bool> draining_ = false;
  std::unique_ptr<HttpDoor> door_;
};

TEST_F(HttpDoorTest, ServesItsThreePaths) {
  const std::string metrics = Request("GET /metrics");
  EXPECT_TRUE(metrics.starts_with("HTTP/1.1 200 ")) << metrics;
  EXPECT_NE(metrics.find("Content-Type: text/plain; version=0.0.4"), std::string::npos);
  EXPECT_NE(metrics.find("tokenbroker_build_info{version=\""), std::string::npos);
  EXPECT_TRUE(Request("GET /livez").starts_with("HTTP/1.1 200 "));
  EXPECT_TRUE(Request("GET /readyz").starts_with("HTTP/1.1 200 "));
}

// By the names that dashboards for any program expect.
TEST_F(HttpDoorTest, MetricsHaveThoseOfTheProcess) {
  const std::string page = Request("GET /metrics");
  const auto value = [&page](const std::string& name, const std::string& type) {
    EXPECT_NE(page.find("# TYPE " + name + " " + type + "\n"), std::string::npos) << name;
    const std::size_t at = page.find("\n" + name + " ");
    if (at == std::string::npos) return -1.0;
    return std::stod(page.substr(at + name.size() + 2));
  };
  const double now = static_cast<double>(time(nullptr));
  EXPECT_GT(value("process_resident_memory_bytes", "gauge"), 1 << 20);
  EXPECT_GT(value("process_virtual_memory_bytes", "gauge"), value("process_resident_memory_bytes", "gauge"));
  EXPECT_GE(value("process_cpu_seconds_total", "counter"), 0);
  EXPECT_GT(value("process_start_time_seconds", "gauge"), now - 3600);
  EXPECT_LE(value("process_start_time_seconds", "gauge"), now + 2);
  const double open = value("process_open_fds", "gauge");
  EXPECT_GE(open, 4);  // The standard ones and the listener.
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_EQ(value("process_max_fds", "gauge"), static_cast<double>(limit.rlim_cur));
  const int more[] = {dup(0), dup(0), dup(0)};
  EXPECT_EQ(value("process_open_fds", "gauge"), open);  // Of the page as it was.
  const std::string after = Request("GET /metrics");
  EXPECT_NE(after.find("\nprocess_open_fds " + std::to_string(static_cast<int>(open) + 3) + "\n"), std::string::npos)
      << after.substr(after.find("\nprocess_open_fds"), 40) << " after " << open;
  for (const int each : more) close(each);
}

TEST_F(HttpDoorTest, WhileDrainingItIsAliveButNotReady) {
  draining_ = true;
  const std::string answer = Request("GET /readyz");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 ")) << answer;
  EXPECT_NE(answer.find("draining"), std::string::npos);
  EXPECT_TRUE(Request("GET /livez").starts_with("HTTP/1.1 200 "));
}

TEST_F(HttpDoorTest, NothingElseIsServed) {
  for (const std::string path :
       {"/", "/metrics/", "/metricsx", "/livez/../etc/passwd", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"}) {
    const std::string answer = Request("GET " + path);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 4")) << path << "\n" << answer;
    EXPECT_EQ(answer.find("root:"), std::string::npos) << path;
  }
  EXPECT_TRUE(Request("GET /").starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(Request("POST /metrics").starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(Request("DELETE /livez").starts_with("HTTP/1.1 405 "));
}

TEST_F(HttpDoorTest, AHeadHasNoBody) {
  const std::string answer = Request("HEAD /livez");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 "));
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST_F(HttpDoorTest, GoesOnAfterNoise) {
  Ask(door_->port(), "\xff\xfe\r\n\r\n");
  Ask(door_->port(), "GET /" + std::string(100'000, 'x') + " HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(Request("GET /livez").starts_with("HTTP/1.1 200 "));
}

// Peers that connect and say nothing, or a part of a request.
class Peers {
 public:
  Peers(int port, int count, const std::string& bytes) {
    for (int i = 0; i < count; ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(static_cast<std::uint16_t>(port));
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
      if (!bytes.empty()) (void)!send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      fds_.push_back(fd);
    }
  }
  ~Peers() {
    for (const int fd : fds_) close(fd);
  }
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

 private:
  std::vector<int> fds_;
};

TEST_F(HttpDoorTest, SilentSlowAndEndlessPeersKeepNoProbeWaiting) {
  for (const std::string& bytes : {std::string(), std::string("GET /livez HT"), "GET /" + std::string(6000, 'x')}) {
    const Peers peers(door_->port(), 500, bytes);
    const auto asked = std::chrono::steady_clock::now();
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(Request("GET /livez").starts_with("HTTP/1.1 200 "));
      EXPECT_TRUE(Request("GET /readyz").starts_with("HTTP/1.1 200 "));
    }
    // Far below the time after which such a peer is given up.
    EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(4));
  }
}

TEST_F(HttpDoorTest, ListensOnIpv6) {
  for (const char* address : {"[::1]:0", "[::]:0"}) {
    absl::StatusOr<std::unique_ptr<HttpDoor>> door = HttpDoor::Open(address, metrics_, ready());
    if (!door.ok() && std::string(door.status().message()).find("not supported") != std::string::npos) {
      GTEST_SKIP() << "this machine has no IPv6";
    }
    ASSERT_TRUE(door.ok()) << door.status();
    EXPECT_NE((*door)->port(), 0);
    if (std::string(address) == "[::]:0") {  // Of both families.
      EXPECT_TRUE(Ask((*door)->port(), "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                      .starts_with("HTTP/1.1 200 "));
    }
  }
}

TEST_F(HttpDoorTest, ATakenPortIsNamed) {
  const std::string address = "127.0.0.1:" + std::to_string(door_->port());
  const absl::Status second = HttpDoor::Open(address, metrics_, ready()).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(std::string(second.message()).find(address), std::string::npos) << second;
}

}  // namespace
}  // namespace tokenbroker
