#pragma once
// Who the broker is at GitLab, asked at start and daily: kind, rights and end of the issuer's credential.

#include <optional>

#include "server/base/clock.h"
#include "server/base/event.h"
#include "server/base/task.h"
#include "server/broker/broker.h"

namespace tokenbroker {

// Runs on the executor alone.
class IssuerWatch {
 public:
  explicit IssuerWatch(const BrokerParts& parts) : parts_(parts) {}

  // Asks until `stop` is set: daily while it works, every 5 s to 1 min while it does not.
  Task<void> Run(Event stop);

  // What the newest answer said; nothing before the first.
  const std::optional<IssuerFacts>& facts() const { return facts_; }
  // The latest date that the instance allows for a token made now; nothing if it sets none or it is not known.
  std::optional<Date> LatestDate(WallTime now) const;

 private:
  void Learn(const IssuerFacts& facts);

  BrokerParts parts_;
  std::optional<IssuerFacts> facts_;
};

}  // namespace tokenbroker
