#include "server/base/event_loop.h"

#include <time.h>

#include <algorithm>
#include <chrono>

namespace tokenbroker {
namespace {

Duration Read(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return seconds(now.tv_sec) + duration_cast<Duration>(std::chrono::nanoseconds(now.tv_nsec));
}

// A condition variable's clock stands still while the machine sleeps: never wait longer than this for a timer.
constexpr Duration kLongestNap = seconds(1);

}  // namespace

class EventLoop::LoopTimer final : public Clock::Timer {
 public:
  LoopTimer(EventLoop* loop, TimerKey key) : loop_(loop), key_(key) {}
  ~LoopTimer() override {
    absl::AnyInvocable<void()> dropped;  // Freed after the lock.
    const std::lock_guard lock(loop_->mutex_);
    const auto it = loop_->timers_.find(key_);
    if (it == loop_->timers_.end()) return;
    dropped = std::move(it->second);
    loop_->timers_.erase(it);
  }

 private:
  EventLoop* loop_;
  TimerKey key_;
};

EventLoop::EventLoop() : thread_(&EventLoop::Run, this) {}

EventLoop::~EventLoop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  more_.notify_one();
  thread_.join();
}

void EventLoop::Post(absl::AnyInvocable<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
  }
  more_.notify_one();
}

WallTime EventLoop::Now() const { return WallTime(Read(CLOCK_REALTIME)); }

BootTime EventLoop::Boot() const { return BootTime(Read(CLOCK_BOOTTIME)); }

std::unique_ptr<Clock::Timer> EventLoop::CallAt(BootTime when, absl::AnyInvocable<void()> wake) {
  TimerKey key;
  {
    const std::lock_guard lock(mutex_);
    key = {when, next_timer_++};
    timers_.emplace(key, std::move(wake));
  }
  more_.notify_one();
  return std::make_unique<LoopTimer>(this, key);
}

void EventLoop::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    std::deque<absl::AnyInvocable<void()>> work;
    work.swap(posted_);
    if (!work.empty()) {
      lock.unlock();
      for (absl::AnyInvocable<void()>& each : work) {
        each();
        each = nullptr;
      }
      lock.lock();
    }
    const BootTime now = Boot();
    // One timer at a time, since what it runs may cancel the next.
    if (!timers_.empty() && timers_.begin()->first.first <= now) {
      absl::AnyInvocable<void()> wake = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      lock.unlock();
      wake();
      wake = nullptr;
      lock.lock();
      continue;
    }
    if (!posted_.empty()) continue;
    if (stop_) return;
    if (timers_.empty()) {
      more_.wait(lock);
    } else {
      more_.wait_for(lock, std::min(kLongestNap, timers_.begin()->first.first - now));
    }
  }
}

}  // namespace tokenbroker
