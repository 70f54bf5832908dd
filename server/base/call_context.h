#pragma once
// Who waits for a call, until when, and whether they still do. Passed by value to everything that waits.
//
// Cancellation is a wish, never an interruption: what honours it says so. Up to a token's intent every wait does; from
// the hand-over of a POST on nothing does (Detached()).

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "server/base/clock.h"

namespace tokenbroker {

// The end that cancels. Thread-safe. Copies share one state.
class CancelSource {
 public:
  CancelSource() : state_(std::make_shared<State>()) {}

  // Idempotent. Runs the registered callbacks inside the call.
  void Cancel();
  bool cancelled() const;

 private:
  friend class CallContext;
  struct State {
    std::mutex mutex;
    bool cancelled = false;
    std::uint64_t next_id = 0;
    std::vector<std::pair<std::uint64_t, absl::AnyInvocable<void()>>> callbacks;
  };
  std::shared_ptr<State> state_;
};

// Thread-safe, cheap to copy.
class CallContext {
 public:
  // Nobody waits: no deadline, never cancelled. For the broker's own jobs.
  CallContext() = default;
  explicit CallContext(BootTime deadline) : deadline_(deadline) {}
  CallContext(BootTime deadline, const CancelSource& source) : deadline_(deadline), state_(source.state_) {}

  BootTime deadline() const { return deadline_; }
  bool cancelled() const;

  // The same call as the broker's own affair: nobody's leaving ends it any more.
  CallContext Detached() const { return CallContext(); }
  // The same call, ending no later than `deadline`.
  CallContext Until(BootTime deadline) const;

  // OK; or CANCELLED, or DEADLINE_EXCEEDED if `now` is not before the deadline.
  absl::Status Check(BootTime now) const;

  // Removes its callback when destroyed. The callback may be running on another thread at that moment.
  class Registration {
   public:
    Registration() = default;
    Registration(Registration&& other) noexcept : state_(std::move(other.state_)), id_(other.id_) {}
    Registration& operator=(Registration&& other) noexcept {
      std::swap(state_, other.state_);
      std::swap(id_, other.id_);
      return *this;
    }
    ~Registration();

   private:
    friend class CallContext;
    std::shared_ptr<CancelSource::State> state_;
    std::uint64_t id_ = 0;
  };

  // Calls `wake` once on cancellation, on the cancelling thread; inside this call if it has already happened.
  [[nodiscard]] Registration OnCancel(absl::AnyInvocable<void()> wake) const;

 private:
  BootTime deadline_ = kNever;
  std::shared_ptr<CancelSource::State> state_;  // Null: cannot be cancelled.
};

}  // namespace tokenbroker
