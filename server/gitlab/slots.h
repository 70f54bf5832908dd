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
#include "server/domain/target.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

// In the order in which they are served when slots are short: what ends power first, then what callers wait for (a
// look-up before the create that needs it), then what can wait.
// A pause of kRevoke lets one request through each minute, one at a time: see Slots::Pause.
enum class Lane { kRevoke, kResolve, kCreate, kLook };

// For whom a slot is, and what the request is about. An empty text is nobody's and nothing's: no share bounds it.
struct SlotRequest {
  Lane lane = Lane::kLook;
  std::string caller;  // By name: the token's owner, or the one that asks for a token.
  std::string target;  // See SlotTarget.
  // It goes on with what an earlier request has begun and GitLab has carried out: no pause holds it up.
  bool continues = false;
};

// The target's name in a SlotRequest: "project:7"; "project:acme/payments" while only the path is known.
std::string SlotTarget(const ResolvedTarget& target);
std::string SlotTarget(const Target& target);

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

  // Waits for a slot: callers in turn inside a lane, lanes in their order, though a lane that waits gets every eighth
  // slot at the least. Ends early by the call's deadline or cancellation. RESOURCE_EXHAUSTED, reason
  // UPSTREAM_RATE_LIMITED with RetryAfter, if a pause of the lane would outlast the deadline; UNAVAILABLE, reason
  // UPSTREAM_BUSY, if too many wait.
  Task<absl::StatusOr<Slot>> Acquire(CallContext call, SlotRequest request);

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
