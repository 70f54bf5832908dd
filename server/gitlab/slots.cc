#include "server/gitlab/slots.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <list>
#include <mutex>
#include <utility>
#include <vector>

#include "server/base/error.h"
#include "server/base/later.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kLanes = 4;
constexpr int kWaitingMax = 10'000;
// Every eighth slot goes to the lane that waited longest, so that no lane starves.
constexpr int kFairEvery = 8;

absl::Status Busy() {
  return Error(absl::StatusCode::kUnavailable, "UPSTREAM_BUSY", "too many calls wait for GitLab; nothing was sent")
      .RetryAfter(seconds(1));
}

absl::Status Paused(Duration left) {
  return Error(absl::StatusCode::kResourceExhausted, "UPSTREAM_RATE_LIMITED",
               "GitLab asks for a pause that is longer than the call's deadline; nothing was sent")
      .RetryAfter(left);
}

absl::Status TooLate() {
  return absl::DeadlineExceededError("the deadline passed while waiting for GitLab; nothing was sent");
}

absl::Status Left() { return absl::CancelledError("the caller left while waiting for GitLab; nothing was sent"); }

}  // namespace

struct Slots::State : std::enable_shared_from_this<Slots::State> {
  struct Waiter {
    Later<absl::Status>::Done done;
    BootTime since;
    BootTime deadline = kNever;
    std::list<std::shared_ptr<Waiter>>* lane = nullptr;
    std::list<std::shared_ptr<Waiter>>::iterator place;  // In its lane.
    std::unique_ptr<Clock::Timer> timer;
    CallContext::Registration registration;
    bool served = false;

    // Outside the lock. The timer and the registration know their waiter: they must go, or none of them ever does.
    void End(absl::Status status) {
      timer.reset();
      registration = CallContext::Registration();
      done(std::move(status));
    }
  };

  State(Executor& the_executor, Clock& the_clock, Metrics& the_metrics, int the_most)
      : executor(the_executor), clock(the_clock), metrics(the_metrics), most(the_most) {}

  void Enter(CallContext call, Lane lane, Later<absl::Status>::Done done) {
    std::unique_lock lock(mutex);
    const BootTime now = clock.Boot();
    const absl::Status left = call.Check(now);
    if (!left.ok()) return End(std::move(lock), std::move(done), left);
    if (pause_until > now && pause_until >= call.deadline()) {
      return End(std::move(lock), std::move(done), Paused(pause_until - now));
    }
    if (pause_until <= now && in_flight < most && waiting == 0) {
      ++in_flight;
      Report();
      return End(std::move(lock), std::move(done), absl::OkStatus());
    }
    if (waiting >= kWaitingMax) return End(std::move(lock), std::move(done), Busy());
    auto waiter = std::make_shared<Waiter>();
    waiter->done = std::move(done);
    waiter->since = now;
    waiter->deadline = call.deadline();
    waiter->lane = &lanes[static_cast<std::size_t>(lane)];
    waiter->place = waiter->lane->insert(waiter->lane->end(), waiter);
    ++waiting;
    Report();
    const std::weak_ptr<State> weak = weak_from_this();
    if (call.deadline() != kNever) {
      waiter->timer = clock.CallAt(call.deadline(), [weak, waiter] { GiveUp(weak, waiter, TooLate()); });
    }
    lock.unlock();
    // May call back at once, so outside the lock; a cancellation hops through the executor, since it may come from a
    // thread that destroys what it waits for.
    auto registration = call.OnCancel(
        [weak, waiter, executor_ = &executor] { executor_->Post([weak, waiter] { GiveUp(weak, waiter, Left()); }); });
    lock.lock();
    if (!waiter->served) waiter->registration = std::move(registration);
    Serve(std::move(lock));
  }

  static void GiveUp(const std::weak_ptr<State>& weak, const std::shared_ptr<Waiter>& waiter, absl::Status why) {
    const std::shared_ptr<State> state = weak.lock();
    if (state == nullptr) return;
    std::unique_lock lock(state->mutex);
    if (waiter->served) return;
    state->Forget(waiter);
    lock.unlock();
    waiter->End(std::move(why));
  }

  // Takes a waiter out of its lane. Under the lock.
  void Forget(const std::shared_ptr<Waiter>& waiter) {
    waiter->served = true;
    waiter->lane->erase(waiter->place);
    --waiting;
    Report();
  }

  void Leave() {
    std::unique_lock lock(mutex);
    --in_flight;
    Report();
    Serve(std::move(lock));
  }

  void PauseUntil(BootTime until) {
    std::unique_lock lock(mutex);
    if (until <= pause_until) return;
    pause_until = until;
    wake = clock.CallAt(until, [weak = weak_from_this()] {
      if (const std::shared_ptr<State> state = weak.lock()) state->Serve(std::unique_lock(state->mutex));
    });
    // Whom the pause outlasts need not wait for the deadline to hear of it.
    std::vector<std::shared_ptr<Waiter>> hopeless;
    for (const auto& lane : lanes) {
      std::copy_if(lane.begin(), lane.end(), std::back_inserter(hopeless),
                   [until](const std::shared_ptr<Waiter>& waiter) { return waiter->deadline <= until; });
    }
    for (const std::shared_ptr<Waiter>& waiter : hopeless) Forget(waiter);
    lock.unlock();
    for (const std::shared_ptr<Waiter>& waiter : hopeless) waiter->End(Paused(until - clock.Boot()));
  }

  // Gives free slots to who waits. Takes the lock over.
  void Serve(std::unique_lock<std::mutex> lock) {
    std::vector<std::shared_ptr<Waiter>> served;
    while (in_flight < most && waiting > 0 && clock.Boot() >= pause_until) {
      std::shared_ptr<Waiter> next = TakeNext();
      if (next == nullptr) break;
      next->served = true;
      --waiting;
      ++in_flight;
      served.push_back(std::move(next));
    }
    Report();
    lock.unlock();
    for (const std::shared_ptr<Waiter>& waiter : served) {
      waiter->End(absl::OkStatus());
    }
  }

  std::shared_ptr<Waiter> TakeNext() {
    std::list<std::shared_ptr<Waiter>>* chosen = nullptr;
    const bool fair = ++turn % kFairEvery == 0;
    for (auto& lane : lanes) {
      if (lane.empty()) continue;
      if (chosen == nullptr || (fair && lane.front()->since < chosen->front()->since)) chosen = &lane;
    }
    if (chosen == nullptr) return nullptr;
    std::shared_ptr<Waiter> next = std::move(chosen->front());
    chosen->pop_front();
    return next;
  }

  void Report() { metrics.SetUpstreamLoad(in_flight, waiting); }

  static void End(std::unique_lock<std::mutex> lock, Later<absl::Status>::Done done, absl::Status status) {
    lock.unlock();
    done(std::move(status));
  }

  Executor& executor;
  Clock& clock;
  Metrics& metrics;
  const int most;
  std::mutex mutex;
  std::array<std::list<std::shared_ptr<Waiter>>, kLanes> lanes;
  std::unique_ptr<Clock::Timer> wake;
  BootTime pause_until{};
  int in_flight = 0;
  int waiting = 0;
  int turn = 0;
};

Slots::Slot& Slots::Slot::operator=(Slot&& other) noexcept {
  Slot old(std::move(other));
  std::swap(state_, old.state_);
  return *this;
}

Slots::Slot::~Slot() {
  if (state_ != nullptr) state_->Leave();
}

Slots::Slots(Executor& executor, Clock& clock, Metrics& metrics, int most)
    : state_(std::make_shared<State>(executor, clock, metrics, most)) {}

Slots::~Slots() = default;

Task<absl::StatusOr<Slots::Slot>> Slots::Acquire(CallContext call, Lane lane) {
  const std::shared_ptr<State> state = state_;
  Later<absl::Status> later(state->executor, [&state, &call, lane](Later<absl::Status>::Done done) {
    state->Enter(call, lane, std::move(done));
  });
  const absl::Status entered = co_await later;
  if (!entered.ok()) co_return entered;
  co_return Slot(state);
}

void Slots::PauseUntil(BootTime until) { state_->PauseUntil(until); }

}  // namespace tokenbroker
