#pragma once
// Time as the house sees it. Two kinds that cannot be mixed: WallTime (what a person and GitLab call the time; may step
// either way) and BootTime (CLOCK_BOOTTIME: never steps, counts suspension). Code takes a Clock by constructor and
// never asks the system.

#include <chrono>
#include <compare>
#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "server/base/task.h"

namespace tokenbroker {

using Duration = std::chrono::microseconds;

using std::chrono::duration_cast;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

struct WallClockTag {
  using rep = std::int64_t;
  using period = std::micro;
  using duration = Duration;
  static constexpr bool is_steady = false;
};
struct BootClockTag {
  using rep = std::int64_t;
  using period = std::micro;
  using duration = Duration;
  static constexpr bool is_steady = true;
};

// Microseconds since 1970-01-01T00:00:00Z without leap seconds.
using WallTime = std::chrono::time_point<WallClockTag, Duration>;
// Microseconds since the machine started.
using BootTime = std::chrono::time_point<BootClockTag, Duration>;

inline constexpr BootTime kNever = BootTime::max();

inline std::int64_t MicrosOf(WallTime time) { return time.time_since_epoch().count(); }
inline WallTime FromMicros(std::int64_t micros) { return WallTime(Duration(micros)); }

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  virtual WallTime Now() const = 0;
  virtual BootTime Boot() const = 0;

  // Cancels its callback when destroyed; after the destructor returned on the executor's thread, the callback will not
  // run any more. May outlive neither the clock nor what the callback touches.
  class Timer {
   public:
    virtual ~Timer() = default;
  };

  // Calls `wake` once, on the clock's executor, when Boot() >= when. Never inside the call.
  [[nodiscard]] virtual std::unique_ptr<Timer> CallAt(BootTime when, absl::AnyInvocable<void()> wake) = 0;

  // Goes on, on the clock's executor, when Boot() >= when. Cannot be cancelled: for waits with a short, known end.
  Task<void> SleepUntil(BootTime when);
};

}  // namespace tokenbroker
