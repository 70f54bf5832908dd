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

#include "server/base/error.h"
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

std::string SlotTarget(const ResolvedTarget& target) {
  return std::string(NameOf(target.kind)) + ':' + std::to_string(target.id);
}

std::string SlotTarget(const Target& target) { return std::string(NameOf(target.kind)) + ':' + LowerCase(target.ref); }

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
      return End(std::move(lock), std::move(done), Paused(paused - now));
    }
    if (paused <= now && in_flight < most && waiting == 0 && HasShare(waiter->request)) {
      Take(waiter->request);
      Report();
      return End(std::move(lock), std::move(done), absl::OkStatus());
    }
    Queue& queue = QueueOf(waiter->request.lane);
    if (queue.waiting >= kWaitingMax || IsFull(queue, waiter->request.caller)) {
      return End(std::move(lock), std::move(done), Busy());
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
    for (const std::shared_ptr<Waiter>& waiter : hopeless) waiter->End(Paused(until - now));
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
      Take(next->request);
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
    const bool fair = (turn + 1) % kFairEvery == 0;
    std::shared_ptr<Waiter> chosen;
    for (std::size_t index = 0; index < kLanes; ++index) {
      const auto lane = static_cast<Lane>(index);
      const bool is_paused = PausedUntil(lane) > now && !MayProbe(lane, now);
      std::shared_ptr<Waiter> first = FirstOf(lanes[index], over_half, is_paused);
      if (first == nullptr) continue;
      if (chosen == nullptr || (fair && first->since < chosen->since)) chosen = std::move(first);
      if (!fair) break;
    }
    return chosen;
  }

  // The oldest of the next caller in turn that has a share left; nullptr if there is none. `is_paused`: of those that
  // continue.
  std::shared_ptr<Waiter> FirstOf(const Queue& queue, bool over_half, bool is_paused) const {
    auto at = queue.by_caller.upper_bound(queue.last);
    for (std::size_t i = 0; i < queue.by_caller.size(); ++i, ++at) {
      if (at == queue.by_caller.end()) at = queue.by_caller.begin();
      if (!over_half && !at->first.empty() && Held(of_caller, at->first) >= std::max(most / 2, 1)) continue;
      const auto& waiters = at->second;
      const auto found = std::find_if(waiters.begin(), waiters.end(), [&](const std::shared_ptr<Waiter>& waiter) {
        return HasShare(waiter->request) && (!is_paused || waiter->request.continues);
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

  void Take(const SlotRequest& request) {
    ++in_flight;
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

void Slots::Pause(Lane lane, BootTime until) { state_->Pause({lane}, until); }

void Slots::PauseAll(BootTime until) {
  state_->Pause({Lane::kRevoke, Lane::kCreate, Lane::kResolve, Lane::kLook}, until);
}

}  // namespace tokenbroker
