#include "server/base/clock.h"

#include <coroutine>
#include <utility>

namespace tokenbroker {
namespace {

struct WaitForTimer {
  Clock& clock;
  BootTime when;
  std::unique_ptr<Clock::Timer> timer;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    timer = clock.CallAt(when, [waiter] { waiter.resume(); });
  }
  void await_resume() noexcept {}
};

}  // namespace

Task<void> Clock::SleepUntil(BootTime when) {
  WaitForTimer wait{*this, when, nullptr};
  co_await wait;
}

}  // namespace tokenbroker
