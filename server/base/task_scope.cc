#include "server/base/task_scope.h"

#include <cassert>
#include <chrono>
#include <coroutine>
#include <exception>

namespace tokenbroker {

struct TaskScope::Frame {
  struct promise_type {
    Frame get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

TaskScope::Frame TaskScope::Run(TaskScope* scope, Task<void> task) {
  {
    // The task's frame is freed before the scope hears of its end: whoever waits for the scope may then free what the
    // frame pointed to.
    Task<void> running = std::move(task);
    co_await std::move(running);
  }
  scope->Ended();
}

TaskScope::~TaskScope() { assert(running() == 0); }

void TaskScope::Spawn(Task<void> task) {
  {
    const std::lock_guard lock(mutex_);
    ++running_;
  }
  const Frame frame = Run(this, std::move(task));
  executor_.Post([handle = frame.handle] { handle.resume(); });
}

std::size_t TaskScope::running() const {
  const std::lock_guard lock(mutex_);
  return running_;
}

bool TaskScope::WaitIdle(Duration patience) {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, patience, [this] { return running_ == 0; });
}

void TaskScope::Ended() {
  const std::lock_guard lock(mutex_);
  if (--running_ == 0) idle_.notify_all();
}

}  // namespace tokenbroker
