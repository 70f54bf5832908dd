#pragma once
// Testonly: an executor and a clock that do nothing by themselves. Time moves only by the test's hand, and the test can
// ask who sleeps until when, so that no test ever waits for real.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/base/task.h"

namespace tokenbroker {

// Thread-safe: ports with threads of their own may post. Work runs on the thread that calls Run...
class ManualLoop final : public Executor, public Clock {
 public:
  explicit ManualLoop(WallTime start = FromMicros(1'764'000'000'000'000));  // 2025-11-24T16:00:00Z
  ~ManualLoop() override;

  void Post(absl::AnyInvocable<void()> work) override;
  WallTime Now() const override;
  BootTime Boot() const override;
  std::unique_ptr<Timer> CallAt(BootTime when, absl::AnyInvocable<void()> wake) override;

  // Runs what is posted, and what that posts, until nothing is. Fires no timer that is not due.
  void RunUntilIdle();

  // Moves both clocks on, firing timers in the order of their times, running what they post in between.
  void Advance(Duration by);

  // Moves both clocks at once, as after a suspension: what would have been due in between is due now, in the order of
  // its time.
  void Jump(Duration by);

  // Moves the wall clock alone, as an operator or NTP does.
  void StepWall(Duration by);

  // When the next timer is due, if there is one.
  std::optional<BootTime> EarliestTimer() const;

  // How much it has run so far, timers included.
  std::uint64_t ran() const { return ran_; }

  // Runs until `done` is true; waits up to `patience` of real time for other threads to post. False if it never was.
  bool RunUntil(absl::AnyInvocable<bool()> done, Duration patience = seconds(30));

  // Runs `task` to its end and returns its result; ends the process if it does not end within 30 s of real time.
  template <typename T>
  T Finish(Task<T> task);

 private:
  class LoopTimer;
  using TimerKey = std::pair<BootTime, std::uint64_t>;
  template <typename T>
  static Task<void> Store(Task<T> task, std::optional<T>* out) {
    out->emplace(co_await std::move(task));
  }
  void FinishVoid(Task<void> task);

  mutable std::mutex mutex_;
  std::condition_variable more_;
  std::deque<absl::AnyInvocable<void()>> posted_;
  std::map<TimerKey, absl::AnyInvocable<void()>> timers_;
  std::uint64_t next_timer_ = 0;
  std::uint64_t ran_ = 0;
  WallTime wall_;
  BootTime boot_{seconds(1000)};
};

template <typename T>
T ManualLoop::Finish(Task<T> task) {
  std::optional<T> out;
  FinishVoid(Store(std::move(task), &out));
  return std::move(*out);
}
template <>
inline void ManualLoop::Finish(Task<void> task) {
  FinishVoid(std::move(task));
}

}  // namespace tokenbroker
