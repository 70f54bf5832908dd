#include "server/base/manual_loop.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "server/base/task_scope.h"

namespace tokenbroker {

class ManualLoop::LoopTimer final : public Clock::Timer {
 public:
  LoopTimer(ManualLoop* loop, TimerKey key) : loop_(loop), key_(key) {}
  ~LoopTimer() override {
    absl::AnyInvocable<void()> dropped;
    const std::lock_guard lock(loop_->mutex_);
    const auto it = loop_->timers_.find(key_);
    if (it == loop_->timers_.end()) return;
    dropped = std::move(it->second);
    loop_->timers_.erase(it);
  }

 private:
  ManualLoop* loop_;
  TimerKey key_;
};

ManualLoop::ManualLoop(WallTime start) : wall_(start) {}
ManualLoop::~ManualLoop() = default;

void ManualLoop::Post(absl::AnyInvocable<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
  }
  more_.notify_all();
}

WallTime ManualLoop::Now() const {
  const std::lock_guard lock(mutex_);
  return wall_;
}

BootTime ManualLoop::Boot() const {
  const std::lock_guard lock(mutex_);
  return boot_;
}

std::unique_ptr<Clock::Timer> ManualLoop::CallAt(BootTime when, absl::AnyInvocable<void()> wake) {
  const std::lock_guard lock(mutex_);
  const TimerKey key = {when, next_timer_++};
  timers_.emplace(key, std::move(wake));
  return std::make_unique<LoopTimer>(this, key);
}

void ManualLoop::RunUntilIdle() {
  for (;;) {
    absl::AnyInvocable<void()> work;
    {
      const std::lock_guard lock(mutex_);
      if (!posted_.empty()) {
        work = std::move(posted_.front());
        posted_.pop_front();
      } else if (!timers_.empty() && timers_.begin()->first.first <= boot_) {
        work = std::move(timers_.begin()->second);
        timers_.erase(timers_.begin());
      } else {
        return;
      }
    }
    ++ran_;
    work();
  }
}

void ManualLoop::Advance(Duration by) {
  const BootTime end = Boot() + by;
  for (;;) {
    RunUntilIdle();
    const std::lock_guard lock(mutex_);
    const BootTime next = timers_.empty() ? end : std::min(end, timers_.begin()->first.first);
    wall_ += next - boot_;
    boot_ = next;
    if (boot_ == end && (timers_.empty() || timers_.begin()->first.first > end)) break;
  }
  RunUntilIdle();
}

void ManualLoop::Jump(Duration by) {
  RunUntilIdle();
  {
    const std::lock_guard lock(mutex_);
    wall_ += by;
    boot_ += by;
  }
  RunUntilIdle();
}

void ManualLoop::StepWall(Duration by) {
  const std::lock_guard lock(mutex_);
  wall_ += by;
}

std::optional<BootTime> ManualLoop::EarliestTimer() const {
  const std::lock_guard lock(mutex_);
  if (timers_.empty()) return std::nullopt;
  return timers_.begin()->first.first;
}

bool ManualLoop::RunUntil(absl::AnyInvocable<bool()> done, Duration patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  for (;;) {
    RunUntilIdle();
    if (done()) return true;
    std::unique_lock lock(mutex_);
    if (!more_.wait_until(lock, end, [this] { return !posted_.empty(); })) return false;
  }
}

void ManualLoop::FinishVoid(Task<void> task) {
  TaskScope scope(*this);
  scope.Spawn(std::move(task));
  if (RunUntil([&scope] { return scope.running() == 0; })) return;
  std::fputs("ManualLoop::Finish: the task waits for something that never comes\n", stderr);
  std::abort();
}

}  // namespace tokenbroker
