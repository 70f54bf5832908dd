#pragma once
// GitLab's clock, as the broker knows it: the Date header (RFC 9110, whole seconds) of the newest response that GitLab
// itself wrote, carried on by the boot clock. No wall clock of ours is part of it, so that a step of ours changes
// nothing. Pure arithmetic.

#include <optional>

#include "server/base/clock.h"

namespace tokenbroker {

struct UpstreamTime {
  WallTime date;
  BootTime received;
};

// A time that confirms the end of a token must be of a response no older than this.
inline constexpr Duration kUpstreamTimeMaxAge = minutes(1);

// GitLab's clock at `now`. It is never ahead of GitLab's own by more than the drift since `received`.
WallTime UpstreamNow(const UpstreamTime& time, BootTime now);

// The same, if the response is young enough to confirm something; std::nullopt if it is not, or if there was none.
std::optional<WallTime> ConfirmingUpstreamNow(const std::optional<UpstreamTime>& time, BootTime now);

// GitLab's clock minus `ours`. Whole seconds are all that the header has: a difference of up to a second is none.
Duration UpstreamSkew(const UpstreamTime& time, BootTime now, WallTime ours);

}  // namespace tokenbroker
