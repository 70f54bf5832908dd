#pragma once
// What happens in one run, drawn from its seed: what is asked of the broker, what goes wrong at GitLab meanwhile, and
// where the broker is killed or stopped.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tokenbroker {

// How the requests of one kind end at GitLab while an act is under way.
enum class Trouble {
  kNone,
  kClosed,       // Nothing happens, no answer.
  kActedClosed,  // It happens, no answer.
  kActedReset,
  kTwiceClosed,  // It happens twice, no answer.
  kTruncated,    // It happens, half of the answer comes.
  kAnswerTwice,  // It happens, the answer comes twice.
  kBadGateway,   // Nothing happens; a proxy's 502.
  kLateAct,      // A proxy's 504 now; it happens after `apply_delay`.
  kSlow,         // It happens, the answer comes after 30 s.
  kTooSlow,      // It happens, the answer comes after 100 s.
  kRefused,      // Nothing happens; GitLab's own 400.
  kThrottled,    // Nothing happens; 429.
  kInactive,     // It happens; the answer says that the token is not active.
  // Nothing happens; something in front of GitLab responds, without GitLab's mark and with a clock ten days ahead:
  kProxySuccess,
  kProxyRedirect,
  kProxyForbids,
};

struct Crash {
  enum class Where { kPoint, kTime };
  Where where = Where::kPoint;
  std::size_t point = 0;  // Of kPoints.
  std::uint32_t pass = 1;
  std::chrono::microseconds after{0};   // kTime: since the act began.
  bool kill = true;                     // Else it is stopped,
  std::chrono::seconds stopped_for{0};  // for this long, and goes on.
};

struct Act {
  enum class Kind {
    kCreate,
    kRepeat,  // Of an earlier create's request_id.
    kRevoke,  // Of one of the newest tokens.
    kWait,    // Time passes.
    kExtend,  // The holder of the newest token that can extend itself rotates it at GitLab.
  };
  Kind kind = Kind::kWait;
  bool project = false;               // kCreate: for a project, else for a user.
  std::chrono::seconds ttl{0};        // kCreate
  bool self_extending = false;        // kCreate: the token may rotate itself.
  std::chrono::seconds deadline{20};  // Of the call.
  std::size_t which = 0;              // kRepeat, kRevoke: 0 is the newest.
  std::chrono::seconds wait{0};       // kWait

  Trouble post = Trouble::kNone, del = Trouble::kNone, get = Trouble::kNone;  // Of the next request of that method.
  std::chrono::seconds apply_delay{0};
  bool blind = false;  // The issuer sees neither project nor other users' tokens meanwhile.
  bool down = false;   // No request is answered meanwhile.
  std::optional<Crash> crash;
};

struct Scenario {
  std::uint64_t seed = 0;
  bool administrator = true;  // The issuer; else a maintainer of the project, and there are no tokens for users.
  std::chrono::seconds clock_difference{0};  // GitLab's clock is ahead of the broker's by so much.
  std::chrono::seconds by_id_lag{0};         // GitLab's routes with a token's id come from a replica so far behind.
  std::vector<Act> acts;
};

// The run with this number: its first crash is at point `seed` mod kPointCount, after acts that lead there; the rest is
// drawn.
Scenario Draw(std::uint64_t seed);

// One line: "create user ttl=90s post=acted-closed, kill at look.record:after (pass 1) | ...".
std::string Describe(const Scenario& scenario);

}  // namespace tokenbroker
