#pragma once
// Who the broker is at GitLab, asked at start and daily: kind, rights and end of the issuer's credential. And how long
// a token may live there, from the instance's settings or, where they cannot be read, from a rejection.

#include <optional>

#include "server/base/clock.h"
#include "server/base/event.h"
#include "server/base/task.h"
#include "server/base/time_text.h"
#include "server/broker/broker.h"
#include "server/domain/target.h"

namespace tokenbroker {

// How late the date of a token may be. std::nullopt: not known.
struct DateLimits {
  // GitLab rejects every later date for this target.
  std::optional<Date> latest;
  // GitLab may reject a later one: it did so for another target, or a day ago. Kept to where it costs no ttl.
  std::optional<Date> likely_latest;
};

// Runs on the executor alone.
class IssuerWatch {
 public:
  explicit IssuerWatch(const BrokerParts& parts) : parts_(parts) {}

  // Asks until `stop` is set: daily while it works, every 5 s to 1 min while it does not.
  Task<void> Run(Event stop);

  // What the newest answer said; nothing before the first.
  const std::optional<IssuerFacts>& facts() const { return facts_; }
  // The limits for a token of `target` made now. `upstream_now` is GitLab's clock: the limits count from its day.
  DateLimits Limits(const ResolvedTarget& target, WallTime upstream_now) const;
  // GitLab has rejected a token of `target` now, and named the last date that it allows. Only the newest rejection is
  // kept, for this process's life.
  void RecordRejectedDate(const ResolvedTarget& target, Date latest, WallTime upstream_now);

 private:
  void Learn(const IssuerFacts& facts);

  struct RejectedDate {
    ResolvedTarget target;
    std::chrono::days lifetime{0};  // From GitLab's day to the last date that it allows.
    BootTime recorded;
  };

  BrokerParts parts_;
  std::optional<IssuerFacts> facts_;
  std::optional<RejectedDate> rejected_;
};

}  // namespace tokenbroker
