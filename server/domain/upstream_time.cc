#include "server/domain/upstream_time.h"

namespace tokenbroker {

WallTime UpstreamNow(const UpstreamTime& time, BootTime now) { return time.date + (now - time.received); }

std::optional<WallTime> ConfirmingUpstreamNow(const std::optional<UpstreamTime>& time, BootTime now) {
  if (!time.has_value() || now - time->received > kUpstreamTimeMaxAge) return std::nullopt;
  return UpstreamNow(*time, now);
}

Duration UpstreamSkew(const UpstreamTime& time, BootTime now, WallTime ours) {
  const Duration skew = UpstreamNow(time, now) - ours;
  if (skew > -seconds(1) && skew <= seconds(1)) return Duration(0);
  return skew;
}

}  // namespace tokenbroker
