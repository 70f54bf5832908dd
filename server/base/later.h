#pragma once
// The bridge from callbacks to coroutines: `co_await Later<T>(executor, start)` calls start(done) and goes on, on the
// executor, once done(value) was called from whichever thread. `done` must be called exactly once.

#include <coroutine>
#include <memory>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "server/base/executor.h"

namespace tokenbroker {

template <typename T>
class [[nodiscard]] Later {
 public:
  using Done = absl::AnyInvocable<void(T)>;
  using Start = absl::AnyInvocable<void(Done)>;

  Later(Executor& executor, Start start) : executor_(executor), start_(std::move(start)) {}
  Later(const Later&) = delete;
  Later& operator=(const Later&) = delete;

  bool await_ready() noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    // `this` may be gone before start returns (the waiter goes on elsewhere): touch nothing of it afterwards.
    Start start = std::move(start_);
    start([this, waiter](T value) {
      value_.emplace(std::move(value));
      executor_.Post([waiter] { waiter.resume(); });
    });
  }
  T await_resume() { return std::move(*value_); }

 private:
  Executor& executor_;
  Start start_;
  std::optional<T> value_;
};

}  // namespace tokenbroker
