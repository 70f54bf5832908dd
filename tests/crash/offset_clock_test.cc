#include "tests/crash/offset_clock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>

#include "server/base/event_loop.h"
#include "tests/crash/control.h"

namespace tokenbroker {
namespace {

class OffsetClockTest : public testing::Test {
 protected:
  static bool Comes(std::future<void>& event) {
    return event.wait_for(std::chrono::seconds(30)) == std::future_status::ready;
  }
  static bool HasCome(std::future<void>& event) {
    return event.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  // Everything posted so far has run.
  void Settle() {
    std::promise<void> ran;
    std::future<void> settled = ran.get_future();
    loop_.Post([&ran] { ran.set_value(); });
    ASSERT_TRUE(Comes(settled));
  }

  Control& control_ = MapControl(testing::TempDir() + testing::UnitTest::GetInstance()->current_test_info()->name());
  EventLoop loop_;
  OffsetClock clock_{loop_, loop_, control_};
};

TEST_F(OffsetClockTest, BothClocksMove) {
  const WallTime wall = clock_.Now();
  const BootTime boot = clock_.Boot();
  StepTime(control_, Duration(hours(3)).count());
  EXPECT_GE(clock_.Now() - wall, hours(3));
  EXPECT_LT(clock_.Now() - wall, hours(3) + minutes(1));
  EXPECT_GE(clock_.Boot() - boot, hours(3));
}

TEST_F(OffsetClockTest, AMoveFiresWhatItMakesDueAndNothingElse) {
  std::promise<void> soon, later;
  std::future<void> soon_fired = soon.get_future(), later_fired = later.get_future();
  const auto first = clock_.CallAt(clock_.Boot() + hours(1), [&] { soon.set_value(); });
  const auto second = clock_.CallAt(clock_.Boot() + hours(2), [&] { later.set_value(); });
  EXPECT_FALSE(HasCome(soon_fired));
  StepTime(control_, Duration(minutes(61)).count());
  EXPECT_TRUE(Comes(soon_fired));
  Settle();
  EXPECT_FALSE(HasCome(later_fired));
  StepTime(control_, Duration(hours(1)).count());
  EXPECT_TRUE(Comes(later_fired));
}

TEST_F(OffsetClockTest, TimeAlsoPassesByItself) {
  std::promise<void> fired;
  std::future<void> event = fired.get_future();
  StepTime(control_, Duration(hours(1)).count());
  const auto timer = clock_.CallAt(clock_.Boot() + milliseconds(1), [&] { fired.set_value(); });
  EXPECT_TRUE(Comes(event));
}

TEST_F(OffsetClockTest, WhatFiresMayCancelTheNext) {
  std::promise<void> first, second;
  std::future<void> first_fired = first.get_future(), second_fired = second.get_future();
  std::unique_ptr<Clock::Timer> victim;
  const auto timer = clock_.CallAt(clock_.Boot() + hours(1), [&] {
    victim.reset();
    first.set_value();
  });
  victim = clock_.CallAt(clock_.Boot() + hours(1) + seconds(1), [&] { second.set_value(); });
  StepTime(control_, Duration(hours(2)).count());
  EXPECT_TRUE(Comes(first_fired));
  Settle();
  EXPECT_FALSE(HasCome(second_fired));
}

}  // namespace
}  // namespace tokenbroker
