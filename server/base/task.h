#pragma once
// A lazy coroutine with a result. It starts when it is awaited and hands control straight to its waiter when it ends
// (symmetric transfer: a million awaits that never really wait use no stack).
//
//   Task<int> Twice(int x) { co_return 2 * x; }
//   Task<int> FourTimes(int x) {
//     const int twice = co_await Twice(x);
//     co_return co_await Twice(twice);
//   }
//
// Rules of the house, each for a reason: parameters are taken by value (a reference may be dead when the coroutine goes
// on), a coroutine is never a capturing lambda (its captures die with the lambda), no co_await stands inside a
// conditional or initialiser-list expression (g++ 12 has generated wrong code there), and no aggregate, and no
// lambda with captures, is made inside a coroutine's co_await expression (g++ 12 frees some of its parts twice): a
// plain function makes it.
//
// A Task is move-only and used on one thread at a time. One that is never awaited never runs; its frame is freed with
// it. An exception that leaves a coroutine ends the process: expected failures travel as absl::Status.

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace tokenbroker {

template <typename T>
class Task;

namespace task_internal {

struct HandToWaiter {
  bool await_ready() noexcept { return false; }
  template <typename Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) noexcept {
    return self.promise().waiter;
  }
  void await_resume() noexcept {}
};

struct PromiseBase {
  std::coroutine_handle<> waiter;

  std::suspend_always initial_suspend() noexcept { return {}; }
  HandToWaiter final_suspend() noexcept { return {}; }
  [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;

  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T TakeResult() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void TakeResult() {}
};

}  // namespace task_internal

template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = task_internal::Promise<T>;

  Task(Task&& other) noexcept : self_(std::exchange(other.self_, nullptr)) {}
  Task& operator=(Task&& other) = delete;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (self_) self_.destroy();
  }

  auto operator co_await() && noexcept {
    struct Wait {
      std::coroutine_handle<promise_type> self;
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) noexcept {
        self.promise().waiter = waiter;
        return self;
      }
      T await_resume() { return self.promise().TakeResult(); }
    };
    return Wait{self_};
  }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> self) : self_(self) {}

  std::coroutine_handle<promise_type> self_;
};

template <typename T>
Task<T> task_internal::Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}

inline Task<void> task_internal::Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

}  // namespace tokenbroker
