#pragma once
// The real executor and the real clock: one thread that runs what is posted and what is due.

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "server/base/clock.h"
#include "server/base/executor.h"

namespace tokenbroker {

// Thread-safe. The destructor runs what was already posted, drops timers that are not due, and joins the thread; it
// must not run on that thread.
class EventLoop final : public Executor, public Clock {
 public:
  EventLoop();
  ~EventLoop() override;

  void Post(absl::AnyInvocable<void()> work) override;

  WallTime Now() const override;
  BootTime Boot() const override;
  std::unique_ptr<Timer> CallAt(BootTime when, absl::AnyInvocable<void()> wake) override;

 private:
  class LoopTimer;
  using TimerKey = std::pair<BootTime, std::uint64_t>;

  void Run();

  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<absl::AnyInvocable<void()>> posted_;
  std::map<TimerKey, absl::AnyInvocable<void()>> timers_;
  std::uint64_t next_timer_ = 0;
  bool stop_ = false;
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace tokenbroker
