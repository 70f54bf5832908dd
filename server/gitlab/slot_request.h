#pragma once
// What is asked of Slots, and the errors that a request for a permit ends with.

#include <string>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/domain/target.h"

namespace tokenbroker {

// In the order in which they are served when slots are short: what ends power first, then what callers wait for (a
// look-up before the create that needs it), then what can wait.
// A pause of kRevoke lets one request through each minute, one at a time: see Slots::Pause.
enum class Lane { kRevoke, kResolve, kCreate, kLook };

// For whom a slot is, and what the request is about. An empty caller or target has no share: nothing bounds it but the
// number of permits.
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

// UPSTREAM_BUSY: too many wait.
absl::Status BusyError();
// UPSTREAM_RATE_LIMITED: the pause lasts for `left` more, longer than the call's deadline.
absl::Status PausedError(Duration left);
// UPSTREAM_UNAVAILABLE: requests are held back for `left` more.
absl::Status HeldBackError(Duration left);
// DEADLINE_EXCEEDED and CANCELLED while waiting.
absl::Status WaitedTooLongError();
absl::Status CancelledWaitError();

}  // namespace tokenbroker
