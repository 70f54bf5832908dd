#pragma once
// Since when the ledger's clock has run with the boot clock. A start may find its host's clock wrong by hours, and a
// step may be followed later; what the ledger's clock says of a time before that may be wrong by as much. A duration
// that must have passed for certain is therefore measured within one run of a steady clock.

#include <algorithm>

#include "server/base/clock.h"
#include "server/broker/broker.h"
#include "server/domain/expiry.h"

namespace tokenbroker {

// Runs on the executor alone.
class SteadyClock {
 public:
  // Both outlive this.
  SteadyClock(const Clock& clock, const Ledger& ledger)
      : clock_(clock), ledger_(ledger), ahead_(Ahead()), since_(clock.Boot()) {}

  // Notes a step; called about once a second.
  void Compare() {
    const Duration ahead = Ahead();
    if (ahead - ahead_ > kTolerance || ahead_ - ahead > kTolerance) since_ = clock_.Boot();
    ahead_ = ahead;
  }

  // Whether a token made at `create_time` is at least `settle` old, whatever steps the clocks have made: the ledger's
  // says so and has been steady for as long. Then a token from before the last step is old enough as well.
  bool HasSettled(WallTime create_time, Duration settle) {
    Compare();
    return clock_.Boot() - since_ >= settle && NotFoundMayConfirm(create_time, settle, ledger_.Now());
  }

  // How long it takes until the ledger's clock has been steady for `time`; zero if it has.
  Duration LeftOf(Duration time) {
    Compare();
    return std::max<Duration>(time - (clock_.Boot() - since_), Duration(0));
  }

 private:
  static constexpr Duration kTolerance = seconds(1);

  Duration Ahead() const { return ledger_.Now().time_since_epoch() - clock_.Boot().time_since_epoch(); }

  const Clock& clock_;
  const Ledger& ledger_;
  Duration ahead_;  // The ledger's clock minus the boot clock.
  BootTime since_;
};

}  // namespace tokenbroker
