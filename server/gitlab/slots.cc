#include "server/gitlab/slots.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "server/base/later.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kLanes = 4;
// In a lane, and of one caller in it.
constexpr std::size_t kWaitingMax = 10'000;
constexpr std::size_t kCallerWaitingMax = kWaitingMax / 4;
// Every eighth slot goes to the lane that waited longest, so that no lane starves.
constexpr int kFairEvery = 8;
constexpr Duration kProbeEvery = seconds(60);

// A call waits for its response: an error now is of more use to it than a response in an hour.
bool IsOfCall(Lane lane) { return lane == Lane::kResolve || lane == Lane::kCreate; }

}  // namespace

struct Slots::State : std::enable_shared_from_this<Slots::State> {
  struct Waiter {
    Later<absl::Status>::Done done;
    BootTime since;
    BootTime deadline = kNever;
    SlotRequest request;
    bool is_probe = false;
    std::list<std::shared_ptr<Waiter>>::iterator place;  // In its queue.
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

  // Those who wait in a lane, by caller, each oldest first.
  struct Queue {
    std::map<std::string, std::list<std::shared_ptr<Waiter>>> by_caller;  // No list is empty.
    std::size_t waiting = 0;
    std::string last;  // The caller that was served last: the next one in the order is next.
  };

  State(Executor& the_executor, Clock& the_clock, Metrics& the_metrics, int the_most)
      : executor(the_executor), clock(the_clock), metrics(the_metrics), most(the_most) {}

  // What `done` hears is OK if a slot is given.
  void Enter(CallContext call, std::shared_ptr<Waiter> waiter, Later<absl::Status>::Done done) {
    std::unique_lock lock(mutex);
    const BootTime now = clock.Boot();
    const absl::Status left = call.Check(now);
    if (!left.ok()) return End(std::move(lock), std::move(done), left);
    const BootTime paused = waiter->request.continues ? BootTime() : PausedUntil(waiter->request.lane);
    if (paused > now && paused >= call.deadline()) {
      return End(std::move(lock), std::move(done), PausedError(paused - now));
    }
    const bool may_leave = MayLeave(waiter->request, now);
    if (!may_leave && IsOfCall(waiter->request.lane))
      return End(std::move(lock), std::move(done), HeldBack(waiter->request.target));
    if (paused <= now && in_flight < most && waiting == 0 && HasShare(waiter->request) && may_leave) {
      Take(waiter->request, now);
      Report();
      return End(std::move(lock), std::move(done), absl::OkStatus());
    }
    Queue& queue = QueueOf(waiter->request.lane);
    if (queue.waiting >= kWaitingMax || IsFull(queue, waiter->request.caller)) {
      return End(std::move(lock), std::move(done), BusyError());
    }
    waiter->done = std::move(done);
    waiter->since = now;
    waiter->deadline = call.deadline();
    std::list<std::shared_ptr<Waiter>>& of_caller = queue.by_caller[waiter->request.caller];
    waiter->place = of_caller.insert(of_caller.end(), waiter);
    ++queue.waiting;
    ++waiting;
    Report();
    const std::weak_ptr<State> weak = weak_from_this();
    if (call.deadline() != kNever) {
      waiter->timer = clock.CallAt(call.deadline(), [weak, waiter] { GiveUp(weak, waiter, WaitedTooLongError()); });
    }
    lock.unlock();
    // May call back at once, so outside the lock; a cancellation hops through the executor, since it may come from a
    // thread that destroys what it waits for.
    auto registration = call.OnCancel([weak, waiter, executor_ = &executor] {
      executor_->Post([weak, waiter] { GiveUp(weak, waiter, CancelledWaitError()); });
    });
    lock.lock();
    if (!waiter->served) waiter->registration = std::move(registration);
    Serve(std::move(lock));
    if (!IsOfCall(waiter->request.lane)) return;
    // If another request was the probe, a call does not wait for the next one.
    std::unique_lock again(mutex);
    if (waiter->served || MayLeave(waiter->request, clock.Boot())) return;
    Forget(waiter);
    const absl::Status why = HeldBack(waiter->request.target);
    again.unlock();
    waiter->End(why);
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
    Queue& queue = QueueOf(waiter->request.lane);
    const auto of_caller = queue.by_caller.find(waiter->request.caller);
    of_caller->second.erase(waiter->place);
    if (of_caller->second.empty()) queue.by_caller.erase(of_caller);
    --queue.waiting;
    --waiting;
    Report();
  }

  void Leave(const SlotRequest& request, bool is_probe) {
    std::unique_lock lock(mutex);
    --in_flight;
    Release(of_target, request.target);
    Release(of_caller, request.caller);
    if (is_probe) probing = false;
    Report();
    Serve(std::move(lock));
  }

  void Pause(const std::vector<Lane>& which, BootTime until) {
    std::unique_lock lock(mutex);
    const BootTime now = clock.Boot();
    // Whom the pause outlasts need not wait for the deadline to hear of it.
    std::vector<std::shared_ptr<Waiter>> hopeless;
    for (const Lane lane : which) {
      const auto index = static_cast<std::size_t>(lane);
      if (until <= paused_until[index]) continue;
      if (lane == Lane::kRevoke && paused_until[index] <= now) next_probe = now + kProbeEvery;
      paused_until[index] = until;
      for (const auto& [caller, waiters] : lanes[index].by_caller) {
        std::copy_if(waiters.begin(), waiters.end(), std::back_inserter(hopeless),
                     [until](const std::shared_ptr<Waiter>& waiter) {
                       return waiter->deadline <= until && !waiter->request.continues;
                     });
      }
    }
    for (const std::shared_ptr<Waiter>& waiter : hopeless) Forget(waiter);
    WakeInTime(now);
    lock.unlock();
    for (const std::shared_ptr<Waiter>& waiter : hopeless) waiter->End(PausedError(until - now));
  }

  CircuitBreaker::Change RecordFailure(const std::string& target) {
    std::unique_lock lock(mutex);
    const BootTime now = clock.Boot();
    const CircuitBreaker::Change change = breaker.RecordFailure(target, now);
    if (change == CircuitBreaker::Change::kNone) return change;
    std::vector<std::shared_ptr<Waiter>> ending;
    for (std::size_t index = 0; index < kLanes; ++index) {
      // Jobs wait for the end of an outage; what waits for a target that fails alone leaves its place to others.
      if (breaker.is_open() && !IsOfCall(static_cast<Lane>(index))) continue;
      for (const auto& [caller, waiters] : lanes[index].by_caller) {
        std::copy_if(waiters.begin(), waiters.end(), std::back_inserter(ending),
                     [&](const std::shared_ptr<Waiter>& waiter) {
                       return breaker.is_open() || waiter->request.target == target;
                     });
      }
    }
    for (const std::shared_ptr<Waiter>& waiter : ending) Forget(waiter);
    WakeInTime(now);
    ReportBreaker();
    const absl::Status why = HeldBack(target);
    lock.unlock();
    for (const std::shared_ptr<Waiter>& waiter : ending) waiter->End(why);
    return change;
  }

  CircuitBreaker::Change RecordResponse(const std::string& target) {
    std::unique_lock lock(mutex);
    const CircuitBreaker::Change change = breaker.RecordResponse(target, clock.Boot());
    if (change == CircuitBreaker::Change::kNone) return change;
    ReportBreaker();
    Serve(std::move(lock));
    return change;
  }

  absl::Status HeldBack(const std::string& target) const {
    return HeldBackError(breaker.NextFor(target) - clock.Boot());
  }

  // Whether the circuit breaker lets a request leave. What it probes for does not take the permits of all others.
  bool MayLeave(const SlotRequest& request, BootTime now) const {
    if (!breaker.MayLeave(request.target, now)) return false;
    if (breaker.is_open()) return in_flight < std::max(most / 2, 1);
    if (!breaker.IsTargetOpen(request.target)) return true;
    int held = 0;
    for (const auto& [target, next] : breaker.open_targets()) held += Held(of_target, target);
    return held < std::max(most / 4, 1);
  }

  void ReportBreaker() {
    metrics.SetUpstreamCircuit(breaker.is_open(), static_cast<int>(breaker.open_targets().size()));
  }

  BootTime PausedUntil(Lane lane) const { return paused_until[static_cast<std::size_t>(lane)]; }

  bool MayProbe(Lane lane, BootTime now) const { return lane == Lane::kRevoke && !probing && now >= next_probe; }

  // Serves again when a pause or the time to the next probe ends. Under the lock.
  void WakeInTime(BootTime now) {
    BootTime next = kNever;
    for (const BootTime until : paused_until) {
      if (until > now) next = std::min(next, until);
    }
    if (PausedUntil(Lane::kRevoke) > now && !probing && next_probe > now) next = std::min(next, next_probe);
    if (waiting > 0) next = std::min(next, breaker.NextProbe(now));
    if (next == wake_time) return;
    wake_time = next;
    if (next == kNever) return;
    wake = clock.CallAt(next, [weak = weak_from_this()] {
      if (const std::shared_ptr<State> state = weak.lock()) state->Serve(std::unique_lock(state->mutex));
    });
  }

  // Gives free slots to who waits. Takes the lock over.
  void Serve(std::unique_lock<std::mutex> lock) {
    std::vector<std::shared_ptr<Waiter>> served;
    const BootTime now = clock.Boot();
    while (in_flight < most && waiting > 0) {
      std::shared_ptr<Waiter> next = TakeNext(now);
      if (next == nullptr) break;
      Take(next->request, now);
      served.push_back(std::move(next));
    }
    WakeInTime(now);
    Report();
    lock.unlock();
    for (const std::shared_ptr<Waiter>& waiter : served) {
      waiter->End(absl::OkStatus());
    }
  }

  // The next to be served, taken out of its queue; nullptr if nobody may be served now.
  std::shared_ptr<Waiter> TakeNext(BootTime now) {
    std::shared_ptr<Waiter> next = Choose(now, /*over_half=*/false);
    if (next == nullptr) next = Choose(now, /*over_half=*/true);
    if (next == nullptr) return nullptr;
    ++turn;
    Forget(next);
    QueueOf(next->request.lane).last = next->request.caller;
    if (PausedUntil(next->request.lane) > now && !next->request.continues) {
      next->is_probe = true;
      probing = true;
      next_probe = now + kProbeEvery;
    }
    return next;
  }

  // By lane; at every eighth turn, who waited longest.
  std::shared_ptr<Waiter> Choose(BootTime now, bool over_half) {
    // The first to be tried after an outage is a revocation.
    const bool fair = (turn + 1) % kFairEvery == 0 && !breaker.is_open();
    std::shared_ptr<Waiter> chosen;
    for (std::size_t index = 0; index < kLanes; ++index) {
      const auto lane = static_cast<Lane>(index);
      const bool is_paused = PausedUntil(lane) > now && !MayProbe(lane, now);
      std::shared_ptr<Waiter> first = FirstOf(lanes[index], over_half, is_paused, now);
      if (first == nullptr) continue;
      if (chosen == nullptr || (fair && first->since < chosen->since)) chosen = std::move(first);
      if (!fair) break;
    }
    return chosen;
  }

  // The oldest of the next caller in turn that has a share left; nullptr if there is none. `is_paused`: of those that
  // continue.
  std::shared_ptr<Waiter> FirstOf(const Queue& queue, bool over_half, bool is_paused, BootTime now) const {
    auto at = queue.by_caller.upper_bound(queue.last);
    for (std::size_t i = 0; i < queue.by_caller.size(); ++i, ++at) {
      if (at == queue.by_caller.end()) at = queue.by_caller.begin();
      if (!over_half && !at->first.empty() && Held(of_caller, at->first) >= std::max(most / 2, 1)) continue;
      const auto& waiters = at->second;
      const auto found = std::find_if(waiters.begin(), waiters.end(), [&](const std::shared_ptr<Waiter>& waiter) {
        return HasShare(waiter->request) && MayLeave(waiter->request, now) && (!is_paused || waiter->request.continues);
      });
      if (found != waiters.end()) return *found;
    }
    return nullptr;
  }

  // Whether the request's target has a slot left.
  bool HasShare(const SlotRequest& request) const {
    return request.target.empty() || Held(of_target, request.target) < std::max(most / 4, 1);
  }

  static bool IsFull(const Queue& queue, const std::string& caller) {
    const auto found = queue.by_caller.find(caller);
    return !caller.empty() && found != queue.by_caller.end() && found->second.size() >= kCallerWaitingMax;
  }

  void Take(const SlotRequest& request, BootTime now) {
    ++in_flight;
    breaker.RecordSent(request.target, now);
    if (!request.target.empty()) ++of_target[request.target];
    if (!request.caller.empty()) ++of_caller[request.caller];
  }

  static int Held(const std::map<std::string, int>& counts, const std::string& key) {
    const auto found = counts.find(key);
    return found == counts.end() ? 0 : found->second;
  }

  static void Release(std::map<std::string, int>& counts, const std::string& key) {
    const auto found = counts.find(key);
    if (found != counts.end() && --found->second == 0) counts.erase(found);
  }

  Queue& QueueOf(Lane lane) { return lanes[static_cast<std::size_t>(lane)]; }

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
  std::array<Queue, kLanes> lanes;
  std::map<std::string, int> of_target;  // Slots that are held.
  std::map<std::string, int> of_caller;
  CircuitBreaker breaker;
  std::unique_ptr<Clock::Timer> wake;
  BootTime wake_time = kNever;  // Of `wake`.
  std::array<BootTime, kLanes> paused_until{};
  BootTime next_probe{};  // Of a paused kRevoke.
  bool probing = false;
  int in_flight = 0;
  int waiting = 0;
  int turn = 0;
};

Slots::Slot& Slots::Slot::operator=(Slot&& other) noexcept {
  Slot old(std::move(other));
  std::swap(state_, old.state_);
  std::swap(request_, old.request_);
  std::swap(is_probe_, old.is_probe_);
  return *this;
}

Slots::Slot::~Slot() { Release(); }

void Slots::Slot::Release() {
  if (const std::shared_ptr<State> state = std::move(state_)) state->Leave(request_, is_probe_);
}

Slots::Slots(Executor& executor, Clock& clock, Metrics& metrics, int most)
    : state_(std::make_shared<State>(executor, clock, metrics, most)) {}

Slots::~Slots() = default;

Task<absl::StatusOr<Slots::Slot>> Slots::Acquire(CallContext call, SlotRequest request) {
  const std::shared_ptr<State> state = state_;
  const auto waiter = std::make_shared<State::Waiter>();
  waiter->request = std::move(request);
  Later<absl::Status> later(state->executor, [&state, &call, &waiter](Later<absl::Status>::Done done) {
    state->Enter(call, waiter, std::move(done));
  });
  const absl::Status entered = co_await later;
  if (!entered.ok()) co_return entered;
  co_return Slot(state, waiter->request, waiter->is_probe);
}

CircuitBreaker::Change Slots::RecordResponse(const std::string& target) { return state_->RecordResponse(target); }

CircuitBreaker::Change Slots::RecordFailure(const std::string& target) { return state_->RecordFailure(target); }

bool Slots::IsHeldBack(const std::string& target) const {
  const std::lock_guard lock(state_->mutex);
  return state_->breaker.is_open() || state_->breaker.IsTargetOpen(target);
}

void Slots::Pause(Lane lane, BootTime until) { state_->Pause({lane}, until); }

void Slots::PauseAll(BootTime until) {
  state_->Pause({Lane::kRevoke, Lane::kCreate, Lane::kResolve, Lane::kLook}, until);
}

}  // namespace tokenbroker
