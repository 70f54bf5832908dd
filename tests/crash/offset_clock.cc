#include "tests/crash/offset_clock.h"

namespace tokenbroker {

struct OffsetClock::Timers {
  using Key = std::pair<BootTime, std::uint64_t>;

  const OffsetClock* clock;
  std::mutex mutex;
  std::map<Key, absl::AnyInvocable<void()>> waiting;
  std::uint64_t next = 0;
};

class OffsetClock::OffsetTimer final : public Clock::Timer {
 public:
  OffsetTimer(std::shared_ptr<Timers> timers, Timers::Key key, std::unique_ptr<Timer> real)
      : timers_(std::move(timers)), key_(key), real_(std::move(real)) {}
  ~OffsetTimer() override {
    absl::AnyInvocable<void()> dropped;  // Freed after the lock.
    const std::lock_guard lock(timers_->mutex);
    const auto found = timers_->waiting.find(key_);
    if (found == timers_->waiting.end()) return;
    dropped = std::move(found->second);
    timers_->waiting.erase(found);
  }

 private:
  std::shared_ptr<Timers> timers_;
  Timers::Key key_;
  std::unique_ptr<Timer> real_;
};

OffsetClock::OffsetClock(Executor& executor, Clock& real, Control& control)
    : executor_(executor), real_(real), control_(control), timers_(std::make_shared<Timers>()) {
  timers_->clock = this;
  watcher_ = std::thread(&OffsetClock::Watch, this);
}

OffsetClock::~OffsetClock() {
  stop_ = true;
  watcher_.join();
}

std::unique_ptr<Clock::Timer> OffsetClock::CallAt(BootTime when, absl::AnyInvocable<void()> wake) {
  Timers::Key key;
  {
    const std::lock_guard lock(timers_->mutex);
    key = {when, timers_->next++};
    timers_->waiting.emplace(key, std::move(wake));
  }
  // Without a move, the real clock comes there by itself.
  std::unique_ptr<Timer> real =
      real_.CallAt(when - offset(), [weak = std::weak_ptr<Timers>(timers_)] { FireDue(weak); });
  return std::make_unique<OffsetTimer>(timers_, key, std::move(real));
}

// On the executor.
void OffsetClock::FireDue(const std::weak_ptr<Timers>& weak) {
  const std::shared_ptr<Timers> timers = weak.lock();
  if (timers == nullptr) return;
  for (;;) {
    absl::AnyInvocable<void()> wake;
    {
      // One at a time, since what it runs may cancel the next.
      const std::lock_guard lock(timers->mutex);
      if (timers->waiting.empty() || timers->waiting.begin()->first.first > timers->clock->Boot()) return;
      wake = std::move(timers->waiting.begin()->second);
      timers->waiting.erase(timers->waiting.begin());
    }
    wake();
  }
}

void OffsetClock::Watch() {
  std::uint32_t seen = 0;
  while (!stop_) {
    const std::uint32_t now = control_.steps;
    if (now == seen) {
      WaitForStep(control_, seen);
      continue;
    }
    seen = now;
    executor_.Post([weak = std::weak_ptr<Timers>(timers_)] { FireDue(weak); });
  }
}

}  // namespace tokenbroker
