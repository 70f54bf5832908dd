#include "server/gitlab/circuit_breaker.h"

#include <gtest/gtest.h>

namespace tokenbroker {
namespace {

using Change = CircuitBreaker::Change;

class CircuitBreakerTest : public testing::Test {
 protected:
  Change Fail(const std::string& target) { return breaker_.RecordFailure(target, now_); }
  Change Respond(const std::string& target) { return breaker_.RecordResponse(target, now_); }
  void FailAlone() {
    for (int i = 0; i < 5; ++i) Fail("project:7");
  }
  // Seconds until a request about `target` may leave.
  std::int64_t WaitFor(const std::string& target) {
    const BootTime next = breaker_.NextFor(target);
    return next <= now_ ? 0 : duration_cast<seconds>(next - now_).count();
  }

  BootTime now_{seconds(1000)};
  CircuitBreaker breaker_;
};

TEST_F(CircuitBreakerTest, OpensAfterFiveFailuresInARow) {
  for (const char* target : {"user:1", "user:2", "user:3", "user:4"}) EXPECT_EQ(Fail(target), Change::kNone);
  EXPECT_FALSE(breaker_.is_open());
  EXPECT_EQ(Fail("user:5"), Change::kOpened);
  EXPECT_TRUE(breaker_.is_open());
  EXPECT_EQ(WaitFor("user:9"), 1);
}

TEST_F(CircuitBreakerTest, AResponseInBetweenBeginsAnew) {
  for (const char* target : {"user:1", "user:2", "user:3", "user:4"}) Fail(target);
  Respond("user:5");
  for (const char* target : {"user:1", "user:2", "user:3", "user:4"}) EXPECT_EQ(Fail(target), Change::kNone);
  EXPECT_FALSE(breaker_.is_open());
}

TEST_F(CircuitBreakerTest, LetsOneProbeASecondLeaveUntilOneSucceeds) {
  for (const char* target : {"user:1", "user:2", "user:3", "user:4", "user:5"}) Fail(target);
  int sent = 0;
  for (int i = 0; i < 100; ++i, now_ += milliseconds(100)) {
    if (!breaker_.MayLeave("user:1", now_)) continue;
    breaker_.RecordSent("user:1", now_);
    EXPECT_FALSE(breaker_.MayLeave("user:2", now_));
    ++sent;
    EXPECT_EQ(Fail("user:1"), Change::kNone);
  }
  EXPECT_EQ(sent, 9);
  EXPECT_EQ(Respond("user:1"), Change::kClosed);
  EXPECT_FALSE(breaker_.is_open());
  for (const char* target : {"user:1", "user:2"}) EXPECT_TRUE(breaker_.MayLeave(target, now_));
}

TEST_F(CircuitBreakerTest, ATargetThatFailsAloneStopsOnlyItself) {
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Fail("project:7"), Change::kNone);
  EXPECT_EQ(Fail("project:7"), Change::kTargetOpened);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Fail("project:7"), Change::kNone);
  EXPECT_EQ(Fail("project:8"), Change::kNone);  // It happens.
  EXPECT_FALSE(breaker_.is_open());
  EXPECT_EQ(WaitFor("project:7"), 1);
  EXPECT_EQ(WaitFor("project:8"), 0);
  EXPECT_EQ(Respond("project:7"), Change::kClosed);
  EXPECT_EQ(WaitFor("project:7"), 0);
}

TEST_F(CircuitBreakerTest, ATargetIsAskedAtGrowingIntervalsWhileOthersRespond) {
  FailAlone();
  std::vector<std::int64_t> waits;
  for (int i = 0; i < 9; ++i) {
    waits.push_back(WaitFor("project:7"));
    now_ = breaker_.NextFor("project:7");
    Respond("project:8");
    breaker_.RecordSent("project:7", now_);
    Fail("project:7");
  }
  EXPECT_EQ(waits, (std::vector<std::int64_t>{1, 2, 4, 8, 15, 15, 15, 15, 15}));
}

TEST_F(CircuitBreakerTest, ATargetIsAskedEachSecondWhileNothingElseResponds) {
  FailAlone();
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(WaitFor("project:7"), 1);
    now_ = breaker_.NextFor("project:7");
    breaker_.RecordSent("project:7", now_);
    Fail("project:7");
  }
}

TEST_F(CircuitBreakerTest, AnOutagesEndIsThatOfItsTargets) {
  FailAlone();
  for (const char* target : {"user:1", "user:2"}) Fail(target);
  EXPECT_TRUE(breaker_.is_open());
  Respond("user:1");
  EXPECT_EQ(WaitFor("project:7"), 0);
}

TEST_F(CircuitBreakerTest, NamesTheNextProbe) {
  EXPECT_EQ(breaker_.NextProbe(now_), kNever);
  FailAlone();
  EXPECT_EQ(breaker_.NextProbe(now_), now_ + seconds(1));
  EXPECT_EQ(breaker_.NextProbe(now_ + seconds(1)), kNever);
}

}  // namespace
}  // namespace tokenbroker
