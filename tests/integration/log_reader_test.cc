// Standard error is a pipe whose reader keeps it open and stops reading: nothing stops for that.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "tests/integration/broker_process.h"

namespace tokenbroker {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

// Far more lines than a pipe holds.
constexpr int kCreates = 600;

class LogReaderTest : public testing::Test {
 protected:
  LogReaderTest() {
    fifo_ = house_.path("stderr");
    EXPECT_EQ(mkfifo(fifo_.c_str(), 0600), 0);
    reader_ = open(fifo_.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
    house_.command() = {"/bin/sh", "-c", std::string("exec ") + std::getenv("TOKENBROKERD") + " \"$@\" 2>" + fifo_,
                        "tokenbrokerd"};
    // Reads until the broker serves, as the harness must know its ports; then no more.
    thread_ = std::thread([this] {
      std::string all;
      while (!stop_ && all.find("\"serving\"") == std::string::npos) {
        pollfd readable{reader_, POLLIN, 0};
        char buffer[4096];
        if (poll(&readable, 1, 10) <= 0) continue;
        const ssize_t count = read(reader_, buffer, sizeof buffer);
        if (count <= 0) continue;
        all.append(buffer, static_cast<std::size_t>(count));
        std::ofstream(house_.path("broker.1.log"), std::ios::app)
            << std::string(buffer, static_cast<std::size_t>(count));
      }
    });
  }
  ~LogReaderTest() override {
    stop_ = true;
    thread_.join();
    close(reader_);
  }

  House house_;
  std::string fifo_;
  int reader_ = -1;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST_F(LogReaderTest, AStoppedReaderStopsNothing) {
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  const std::unique_ptr<TokenClient> client = house_.Client();
  v1::Token due = UserTokenSpec(house_.demo_user());
  due.mutable_ttl()->set_seconds(60);
  const absl::StatusOr<CreatedToken> made = client->Create(due, {}, DeadlineIn(seconds(20)));
  ASSERT_TRUE(made.ok()) << made.status();
  for (int i = 0; i < kCreates; ++i) {
    const absl::StatusOr<CreatedToken> more =
        client->Create(UserTokenSpec(house_.demo_user()), {}, DeadlineIn(seconds(20)));
    ASSERT_TRUE(more.ok()) << i << ": " << more.status();
  }
  int status = 0;
  (void)house_.Fetch("/livez", &status);
  EXPECT_EQ(status, 200);
  // The due token ends in time.
  EXPECT_TRUE(Eventually(
      [&] {
        const absl::StatusOr<v1::Token> token = client->Get(made->token.name(), DeadlineIn(seconds(20)));
        return token.ok() && token->state() == v1::TOKEN_STATE_EXPIRED;
      },
      seconds(70)));
  const steady_clock::time_point asked = steady_clock::now();
  EXPECT_EQ(house_.StopBroker(), 0);
  EXPECT_LT(steady_clock::now() - asked, seconds(10));
}

}  // namespace
}  // namespace tokenbroker
