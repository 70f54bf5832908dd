#include "server/telemetry/log.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>
#include <utility>

#include "server/base/secret.h"

namespace tokenbroker {
namespace {

template <typename T>
concept Loggable = requires(T value) {
  LogField("key", value);
};
static_assert(Loggable<std::string>);
static_assert(!Loggable<Secret>);

TEST(LogTest, OneJsonObjectALineWhateverIsLogged) {
  testing::internal::CaptureStderr();
  std::unique_ptr<Log> log = MakeStderrLog(LogLevel::kInfo);
  log->Debug("not shown");
  log->Info("token made", {{"token", "x\n\"y\xff"}, {"n", 3}, {"rate", 0.5}, {"yes", true}});
  log->Error("plain");
  log.reset();  // Everything is written.
  const std::string output = testing::internal::GetCapturedStderr();
  std::istringstream lines(output);
  std::vector<nlohmann::json> parsed;
  for (std::string line; std::getline(lines, line);) parsed.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(parsed.size(), 2u) << output;
  EXPECT_EQ(parsed[0]["level"], "info");
  EXPECT_EQ(parsed[0]["event"], "token made");
  EXPECT_EQ(parsed[0]["n"], 3);
  EXPECT_EQ(parsed[0]["token"], "x\n\"y\xef\xbf\xbd");
  EXPECT_EQ(parsed[0]["time"].get<std::string>().size(), std::string("2026-11-25T06:53:14.000000Z").size());
  EXPECT_EQ(parsed[1]["level"], "error");
}

// A pipe whose reader keeps it open and reads nothing.
class StoppedReaderTest : public testing::Test {
 protected:
  StoppedReaderTest() {
    EXPECT_EQ(pipe(ends_), 0);
    log_ = MakeLog(LogLevel::kInfo, ends_[1]);
  }
  ~StoppedReaderTest() override {
    log_.reset();
    for (const int end : ends_) close(end);
  }
  void Fill(int lines) {
    for (int i = 0; i < lines; ++i) log_->Info("line", {{"n", i}, {"text", std::string(200, 'x')}});
  }
  // What can be read until `done` holds.
  std::string ReadUntil(const std::function<bool(const std::string&)>& done) {
    std::string text;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!done(text) && std::chrono::steady_clock::now() < end) {
      pollfd readable{ends_[0], POLLIN, 0};
      if (poll(&readable, 1, 100) <= 0) continue;
      char buffer[65536];
      const ssize_t count = read(ends_[0], buffer, sizeof buffer);
      if (count > 0) text.append(buffer, static_cast<std::size_t>(count));
    }
    return text;
  }

  int ends_[2] = {-1, -1};
  std::unique_ptr<Log> log_;
};

TEST_F(StoppedReaderTest, HoldsNobodyUpAndHearsWhatItMissed) {
  Fill(20'000);  // Far more than a pipe and the queue hold. It returns.
  EXPECT_GT(log_->dropped(), 0u);
  const std::string text = ReadUntil([](const std::string& read) {
    return read.find("\"n\":19999,") != std::string::npos && read.find("log lines dropped") != std::string::npos;
  });
  std::istringstream lines(text);
  std::int64_t reported = 0;
  int whole = 0;
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json parsed = nlohmann::json::parse(line);  // No line is cut or mixed with another.
    if (parsed["event"] == "log lines dropped") reported += parsed["lines"].get<std::int64_t>();
    if (parsed["event"] == "line") ++whole;
  }
  EXPECT_EQ(reported, static_cast<std::int64_t>(log_->dropped()));
  EXPECT_EQ(whole + reported, 20'000);
}

TEST_F(StoppedReaderTest, DoesNotHoldUpTheEnd) {
  Fill(20'000);
  log_.reset();
}

TEST_F(StoppedReaderTest, APipeThatNobodyReadsAnyMoreEndsNothing) {
  signal(SIGPIPE, SIG_IGN);
  close(std::exchange(ends_[0], -1));
  Fill(100);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (log_->dropped() < 100 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  EXPECT_EQ(log_->dropped(), 100u);
}

}  // namespace
}  // namespace tokenbroker
