#include "server/base/event.h"

#include <gtest/gtest.h>

#include "server/base/call_context.h"
#include "server/base/event_loop.h"
#include "server/base/manual_loop.h"
#include "server/base/task_scope.h"

namespace tokenbroker {
namespace {

Task<void> WaitThenNote(Event event, Clock* clock, BootTime until, int* noted) {
  const bool set = co_await event.Wait(*clock, until);
  *noted = set ? 1 : 2;
}

TEST(EventTest, WakesAllWhoWait) {
  ManualLoop loop;
  TaskScope scope(loop);
  Event event(loop);
  int first = 0;
  int second = 0;
  scope.Spawn(WaitThenNote(event, &loop, kNever, &first));
  scope.Spawn(WaitThenNote(event, &loop, loop.Boot() + minutes(1), &second));
  loop.RunUntilIdle();
  EXPECT_EQ(first + second, 0);
  event.Set();
  event.Set();
  loop.RunUntilIdle();
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 1);
  EXPECT_FALSE(loop.EarliestTimer().has_value());
}

TEST(EventTest, GivesUpAtTheDeadline) {
  ManualLoop loop;
  TaskScope scope(loop);
  Event event(loop);
  int noted = 0;
  scope.Spawn(WaitThenNote(event, &loop, loop.Boot() + seconds(5), &noted));
  loop.Advance(seconds(5));
  EXPECT_EQ(noted, 2);
  event.Set();  // Nobody waits any more.
  loop.RunUntilIdle();
}

TEST(EventTest, WhatIsSetDoesNotWait) {
  ManualLoop loop;
  Event event(loop);
  event.Set();
  EXPECT_TRUE(loop.Finish(event.Wait(loop, kNever)));
}

TEST(CallContextTest, CancelsOnceAndForAllCopies) {
  CancelSource source;
  const CallContext call(BootTime(seconds(10)), source);
  int woken = 0;
  const auto kept = call.OnCancel([&woken] { ++woken; });
  {
    const auto dropped = call.OnCancel([&woken] { woken += 100; });
  }
  EXPECT_TRUE(call.Check(BootTime(seconds(9))).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(call.Check(BootTime(seconds(10)))));
  source.Cancel();
  source.Cancel();
  EXPECT_EQ(woken, 1);
  EXPECT_TRUE(absl::IsCancelled(call.Check(BootTime(seconds(9)))));
  EXPECT_TRUE(call.Detached().Check(BootTime(seconds(99))).ok());
  const auto late = call.OnCancel([&woken] { woken += 10; });
  EXPECT_EQ(woken, 11);
}

TEST(EventLoopTest, RunsWhatIsPostedInOrderAndTimersWhenDue) {
  std::vector<int> order;
  Duration early{0};
  {
    EventLoop loop;
    std::mutex mutex;
    std::condition_variable done;
    bool fired = false;
    const BootTime due = loop.Boot() + milliseconds(20);
    const auto first = loop.CallAt(due, [&order] { order.push_back(99); });
    loop.Post([&order] { order.push_back(1); });
    loop.Post([&order] { order.push_back(2); });
    const auto timer = loop.CallAt(due + milliseconds(1), [&] {
      early = due + milliseconds(1) - loop.Boot();
      const std::lock_guard lock(mutex);
      fired = true;
      done.notify_one();
    });
    std::unique_lock lock(mutex);
    ASSERT_TRUE(done.wait_for(lock, std::chrono::seconds(30), [&fired] { return fired; }));
  }
  EXPECT_LE(early, Duration(0));
  EXPECT_EQ(order, (std::vector<int>{1, 2, 99}));
}

TEST(EventLoopTest, ADestroyedTimerDoesNotFire) {
  bool fired = false;
  EventLoop loop;
  TaskScope scope(loop);
  {
    const auto timer = loop.CallAt(loop.Boot() + milliseconds(1), [&fired] { fired = true; });
  }
  scope.Spawn(loop.SleepUntil(loop.Boot() + milliseconds(30)));
  ASSERT_TRUE(scope.WaitIdle(seconds(30)));
  EXPECT_FALSE(fired);
}

}  // namespace
}  // namespace tokenbroker
