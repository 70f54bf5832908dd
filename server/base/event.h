#pragma once
// Something that happens once, awaited by coroutines of one executor. Not thread-safe: Set and Wait run on the
// executor.

#include <coroutine>
#include <memory>
#include <utility>
#include <vector>

#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/base/task.h"

namespace tokenbroker {

// Copies share one state, so whoever sets it may outlive whoever waits, and the other way round.
class Event {
 public:
  explicit Event(Executor& executor) : state_(std::make_shared<State>(State{&executor, false, {}})) {}

  bool is_set() const { return state_->set; }

  // Idempotent. Waiters go on through the executor.
  void Set() {
    if (std::exchange(state_->set, true)) return;
    for (const std::shared_ptr<Waiter>& waiter : std::exchange(state_->waiters, {})) Wake(*state_->executor, waiter);
  }

  // Waits until it is set, or until clock.Boot() >= until. True if it is set.
  Task<bool> Wait(Clock& clock, BootTime until) const { return WaitFor(state_, &clock, until); }

 private:
  struct Waiter {
    std::coroutine_handle<> handle;
    std::unique_ptr<Clock::Timer> timer;
    bool woken = false;
  };
  struct State {
    Executor* executor;
    bool set;
    std::vector<std::shared_ptr<Waiter>> waiters;
  };

  static void Wake(Executor& executor, const std::shared_ptr<Waiter>& waiter) {
    if (std::exchange(waiter->woken, true)) return;
    executor.Post([waiter] { waiter->handle.resume(); });
  }

  struct Suspend {
    State& state;
    Clock& clock;
    BootTime until;
    std::shared_ptr<Waiter> waiter;

    bool await_ready() const noexcept { return state.set; }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter->handle = handle;
      state.waiters.push_back(waiter);
      if (until == kNever) return;
      waiter->timer = clock.CallAt(until, [executor = state.executor, weak = std::weak_ptr<Waiter>(waiter)] {
        if (const std::shared_ptr<Waiter> strong = weak.lock()) Wake(*executor, strong);
      });
    }
    void await_resume() noexcept {
      waiter->timer.reset();
      std::erase(state.waiters, waiter);
    }
  };

  static Task<bool> WaitFor(std::shared_ptr<State> state, Clock* clock, BootTime until) {
    Suspend suspend{*state, *clock, until, std::make_shared<Waiter>()};
    co_await suspend;
    co_return state->set;
  }

  std::shared_ptr<State> state_;
};

}  // namespace tokenbroker
