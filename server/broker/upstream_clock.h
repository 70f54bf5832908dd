#pragma once
// GitLab's clock beside the ledger's.

#include <optional>

#include "server/base/clock.h"
#include "server/base/time_text.h"
#include "server/broker/broker.h"
#include "server/domain/upstream_time.h"

namespace tokenbroker {

// GitLab's clock minus the ledger's; std::nullopt if GitLab has not responded yet.
inline std::optional<Duration> MeasuredSkew(const BrokerParts& parts) {
  const std::optional<UpstreamTime> time = parts.gitlab.Time();
  if (!time.has_value()) return std::nullopt;
  return UpstreamSkew(*time, parts.clock.Boot(), parts.ledger.Now());
}

// GitLab's clock; the ledger's if GitLab has not responded yet.
inline WallTime UpstreamNowOf(const BrokerParts& parts) {
  const std::optional<UpstreamTime> time = parts.gitlab.Time();
  return time.has_value() ? UpstreamNow(*time, parts.clock.Boot()) : parts.ledger.Now();
}

// Whether GitLab has ended every token of this date, by its own clock in a response younger than a minute.
inline bool IsPastUpstreamDate(const BrokerParts& parts, Date date) {
  const std::optional<WallTime> now = ConfirmingUpstreamNow(parts.gitlab.Time(), parts.clock.Boot());
  return now.has_value() && *now >= MidnightOf(date);
}

}  // namespace tokenbroker
