#include "server/base/task.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "server/base/later.h"
#include "server/base/manual_loop.h"
#include "server/base/task_scope.h"

namespace tokenbroker {
namespace {

// Counts how often it is moved and how many of it live.
struct Probe {
  explicit Probe(int* alive) : alive(alive) { ++*alive; }
  Probe(Probe&& other) noexcept : alive(other.alive), moves(other.moves + 1) { ++*alive; }
  Probe& operator=(Probe&&) = delete;
  ~Probe() { --*alive; }
  int* alive;
  int moves = 0;
};

Task<std::unique_ptr<int>> Box(int value) { co_return std::make_unique<int>(value); }

Task<int> Depth(int left) {
  if (left == 0) co_return 0;
  const int below = co_await Depth(left - 1);
  co_return below + 1;
}

Task<int> Loop(int rounds) {
  int sum = 0;
  for (int i = 0; i < rounds; ++i) {
    const std::unique_ptr<int> box = co_await Box(i % 2);
    sum += *box;
  }
  co_return sum;
}

Task<void> Mark(bool* ran) {
  *ran = true;
  co_return;
}

Task<int> MovesOf(Probe probe) { co_return probe.moves; }

Task<Probe> Give(int* alive) { co_return Probe(alive); }

TEST(TaskTest, MovesValues) {
  ManualLoop loop;
  EXPECT_EQ(*loop.Finish(Box(7)), 7);
}

TEST(TaskTest, RunsOnlyWhenAwaited) {
  ManualLoop loop;
  bool ran = false;
  { const Task<void> unused = Mark(&ran); }
  EXPECT_FALSE(ran);
  loop.Finish(Mark(&ran));
  EXPECT_TRUE(ran);
}

TEST(TaskTest, MovesEachParameterOnceIntoTheFrame) {
  ManualLoop loop;
  int alive = 0;
  EXPECT_EQ(loop.Finish(MovesOf(Probe(&alive))), 1);
  EXPECT_EQ(alive, 0);
}

TEST(TaskTest, FreesTheParametersOfATaskThatNeverRan) {
  int alive = 0;
  {
    const Task<int> unused = MovesOf(Probe(&alive));
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

TEST(TaskTest, FreesTheResultWithTheTask) {
  ManualLoop loop;
  int alive = 0;
  {
    const Probe probe = loop.Finish(Give(&alive));
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

// Flat only if each transfer is a tail call: see .bazelrc.
TEST(TaskTest, ManyAwaitsUseNoStack) {
  ManualLoop loop;
  EXPECT_EQ(loop.Finish(Loop(1'000'000)), 500'000);
  EXPECT_EQ(loop.Finish(Depth(100'000)), 100'000);
}

Task<int> AwaitLater(Executor* executor, absl::AnyInvocable<void(int)>* done) {
  Later<int> later(*executor, [done](Later<int>::Done given) { *done = std::move(given); });
  co_return co_await later;
}

TEST(TaskTest, LaterGoesOnThroughTheExecutor) {
  ManualLoop loop;
  TaskScope scope(loop);
  absl::AnyInvocable<void(int)> done;
  int result = 0;
  scope.Spawn<int>(AwaitLater(&loop, &done), [&result](int value) { result = value; });
  loop.RunUntilIdle();
  ASSERT_TRUE(done);
  done(42);
  EXPECT_EQ(result, 0);  // Posted, not run inside the port's thread.
  loop.RunUntilIdle();
  EXPECT_EQ(result, 42);
}

Task<void> SleepThenMark(Clock* clock, Duration nap, bool* ran) {
  co_await clock->SleepUntil(clock->Boot() + nap);
  *ran = true;
}

TEST(TaskTest, SleepsByTheTestsHand) {
  ManualLoop loop;
  TaskScope scope(loop);
  bool ran = false;
  scope.Spawn(SleepThenMark(&loop, minutes(5), &ran));
  loop.RunUntilIdle();
  EXPECT_EQ(loop.EarliestTimer(), loop.Boot() + minutes(5));
  loop.Advance(minutes(4));
  EXPECT_FALSE(ran);
  loop.Advance(minutes(1));
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace tokenbroker
