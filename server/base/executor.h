#pragma once
// Where coroutines go on. Ports (ledger, GitLab, clock) do their work wherever they like and resume their waiters
// through one Executor, so that use cases never run on a port's own thread.

#include "absl/functional/any_invocable.h"

namespace tokenbroker {

class Executor {
 public:
  virtual ~Executor() = default;

  // Runs `work` later, in the order of posting, never inside the call. Thread-safe.
  virtual void Post(absl::AnyInvocable<void()> work) = 0;
};

}  // namespace tokenbroker
