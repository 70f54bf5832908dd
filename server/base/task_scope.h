#pragma once
// Where started work lives. A scope starts tasks on its executor and knows how many still run, so that a drain can wait
// for all of them; no coroutine of the broker runs outside a scope.

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/base/task.h"

namespace tokenbroker {

// Thread-safe. Must outlive what it started: call WaitIdle before destroying it.
class TaskScope {
 public:
  explicit TaskScope(Executor& executor) : executor_(executor) {}
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  ~TaskScope();

  // Starts `task` on the executor.
  void Spawn(Task<void> task);

  // Starts `task` on the executor; calls `done` there with its result.
  template <typename T>
  void Spawn(Task<T> task, absl::AnyInvocable<void(T)> done) {
    Spawn(Deliver(std::move(task), std::move(done)));
  }

  std::size_t running() const;

  // Blocks until nothing runs, or for at most `patience` of real time; false if something still does. Not to be called
  // on the executor's thread.
  bool WaitIdle(Duration patience);

 private:
  struct Frame;  // The coroutine that owns a started task and frees itself.
  static Frame Run(TaskScope* scope, Task<void> task);

  template <typename T>
  static Task<void> Deliver(Task<T> task, absl::AnyInvocable<void(T)> done) {
    T value = co_await std::move(task);
    done(std::move(value));
  }

  void Ended();

  Executor& executor_;
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::size_t running_ = 0;
};

}  // namespace tokenbroker
