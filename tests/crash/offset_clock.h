#pragma once
// The machine's time plus an offset that the harness moves: what makes hours pass between two steps of a real broker.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "server/base/clock.h"
#include "server/base/executor.h"
#include "tests/crash/control.h"

namespace tokenbroker {

// Thread-safe. Both clocks move together. Timers that a move makes due fire at once, in the order of their times.
class OffsetClock final : public Clock {
 public:
  OffsetClock(Executor& executor, Clock& real, Control& control);
  ~OffsetClock() override;

  WallTime Now() const override { return real_.Now() + offset(); }
  BootTime Boot() const override { return real_.Boot() + offset(); }
  std::unique_ptr<Timer> CallAt(BootTime when, absl::AnyInvocable<void()> wake) override;

 private:
  struct Timers;
  class OffsetTimer;

  Duration offset() const { return Duration(control_.offset_micros.load()); }
  static void FireDue(const std::weak_ptr<Timers>& weak);
  void Watch();

  Executor& executor_;
  Clock& real_;
  Control& control_;
  std::shared_ptr<Timers> timers_;
  std::atomic<bool> stop_ = false;
  std::thread watcher_;  // Last: it uses all of the above.
};

}  // namespace tokenbroker
