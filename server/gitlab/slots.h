#pragma once
// Who may talk to one GitLab instance now: a bound on concurrency, and the pace that GitLab asks for. A slot is taken
// before an intent is written, so that a call that waits here has promised nothing and may leave at will.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/base/task.h"
#include "server/gitlab/circuit_breaker.h"
#include "server/gitlab/slot_request.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

// Thread-safe.
class Slots {
 public:
  struct State;

  // Gives its permit back when released or destroyed. Move-only.
  class [[nodiscard]] Slot {
   public:
    Slot(Slot&&) noexcept = default;
    Slot& operator=(Slot&& other) noexcept;
    ~Slot();
    // The request has its response: what follows needs no permit.
    void Release();

   private:
    friend class Slots;
    friend struct State;
    Slot(std::shared_ptr<State> state, SlotRequest request, bool is_probe)
        : state_(std::move(state)), request_(std::move(request)), is_probe_(is_probe) {}
    std::shared_ptr<State> state_;
    SlotRequest request_;
    bool is_probe_ = false;
  };

  // At most `most` slots at a time: at most a quarter of them for one target, so that requests about it that hang stop
  // nobody else, and at most half of them for one caller while others wait. At most 10,000 calls wait in a lane, 2,500
  // of one caller.
  Slots(Executor& executor, Clock& clock, Metrics& metrics, int most);
  ~Slots();

  // While GitLab does not respond (see CircuitBreaker) one request a second leaves, in the order of the lanes; kRevoke
  // and kLook wait, kResolve and kCreate, which calls wait for, fail at once: UNAVAILABLE, reason UPSTREAM_UNAVAILABLE
  // with RetryAfter. The same holds for one target that does not respond.
  //
  // Waits for a slot: callers in turn inside a lane, lanes in their order, though a lane that waits gets every eighth
  // slot at the least. Ends early by the call's deadline or cancellation. RESOURCE_EXHAUSTED, reason
  // UPSTREAM_RATE_LIMITED with RetryAfter, if a pause of the lane would outlast the deadline; UNAVAILABLE, reason
  // UPSTREAM_BUSY, if too many wait.
  Task<absl::StatusOr<Slot>> Acquire(CallContext call, SlotRequest request);

  // How a request to GitLab about `target` (see SlotTarget; empty: none) ended: it had a response of GitLab's, or none.
  CircuitBreaker::Change RecordResponse(const std::string& target);
  CircuitBreaker::Change RecordFailure(const std::string& target);
  // True while requests about `target` are held back, since GitLab or the target does not respond.
  bool IsHeldBack(const std::string& target) const;

  // No call of `lane` is let through before `until`: GitLab answered 429 to such a request, or its RateLimit headers
  // say that nothing is left. kRevoke alone probes: after each minute of a pause one call is let through, unless the
  // one before it still holds its slot. A pause is never made shorter.
  void Pause(Lane lane, BootTime until);
  // The same for all lanes.
  void PauseAll(BootTime until);

 private:
  std::shared_ptr<State> state_;
};

}  // namespace tokenbroker
