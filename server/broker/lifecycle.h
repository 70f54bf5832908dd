#pragma once
// The jobs that keep the promises when nobody calls: what is due in the ledger is claimed and done. Expiry at
// expire_time, revocations until there is proof, looks for what a lost answer may have left at GitLab.

#include <map>
#include <string>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/base/event.h"
#include "server/base/task.h"
#include "server/base/task_scope.h"
#include "server/broker/broker.h"
#include "server/broker/due_rows.h"
#include "server/broker/undertaker.h"

namespace tokenbroker {

// Runs on the executor alone.
class Lifecycle {
 public:
  // `settle`: the age from which a sweep that finds nothing closes a row.
  Lifecycle(BrokerParts parts, std::string broker, Duration settle, TaskScope& scope, Undertaker& undertaker)
      : parts_(parts),
        broker_(std::move(broker)),
        settle_(settle),
        scope_(scope),
        undertaker_(undertaker),
        wake_(parts.executor),
        stop_(parts.executor) {}

  // Works until `stop` is set.
  Task<void> Run(Event stop);

  // The ledger's clock went back: BoundWaits of the ledger is done before the next claim, and repeated until it is
  // recorded.
  void BoundWaits() {
    bound_waits_ = true;
    Wake();
  }

  // Something may be due earlier than was known.
  void Wake() { wake_.Set(); }
  // The same, if that is before the end of a nap: what is due later is found by then.
  void WakeBy(WallTime due) {
    if (due < nap_end_) Wake();
  }

 private:
  // Starts the claimed rows that may be in flight now; none once `stop` is set.
  void StartRows();
  Task<void> Work(TokenRecord record);
  Task<void> Look(TokenRecord record);
  // A sweep's list was rejected or had no response: when to try again.
  Task<void> RecordFailedSweep(TokenRecord record, absl::Status why);
  Task<void> Pause(Event stop);
  // OK if there is nothing to bound.
  Task<absl::Status> BoundWaitsIfAsked();
  // The ledger cannot be written, as `why` says: what is due is deleted at GitLab all the same, each token at most once
  // a minute. Its row follows when the ledger can be written again; a second DELETE does no harm.
  Task<void> DeleteUnrecorded(Event stop, absl::Status why);
  Task<void> DeleteAtGitLab(Token token);
  // Counts in the background, if it is time to: a large ledger takes a while, and waits behind lists.
  void CountTokensIfDue();
  Task<void> CountTokens();
  void ReportSkew();

  BrokerParts parts_;
  std::string broker_;
  const Duration settle_;
  TaskScope& scope_;
  Undertaker& undertaker_;
  Event wake_;
  Event stop_;
  DueRows rows_;
  BootTime next_claim_{};               // While enough rows wait.
  WallTime nap_end_ = WallTime::max();  // Of the ledger's clock; max() while awake.
  bool counting_ = false;
  BootTime next_count_{};
  bool bound_waits_ = false;
  int unrecorded_ = 0;                 // Deletions by DeleteUnrecorded that are in flight.
  std::map<TokenId, BootTime> tried_;  // When DeleteUnrecorded has tried a token, in the last minute.
  BootTime next_failure_line_{};
  bool skew_warned_ = false;
};

}  // namespace tokenbroker
