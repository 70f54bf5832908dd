#pragma once
// Wires the rooms, serves, and drains.

#include <signal.h>

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/config/server_config.h"
#include "server/gitlab/gitlab.h"
#include "server/ledger/ledger.h"
#include "server/telemetry/log.h"

namespace tokenbroker {

// The signals that the broker handles, blocked from here on, before any thread starts, so that only Wait sees them:
// SIGTERM and SIGINT end it, with a drain; SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 do nothing but a log line (files that
// are replaced are taken without a signal). Nothing but SIGKILL skips the drain.
class EndSignals {
 public:
  EndSignals();
  // The next signal that ends the broker; each other one is a line of `log`.
  int Wait(Log& log) const;

 private:
  sigset_t set_{};
};

// What tests of the whole process put in the place of a port; the shipped binary has none of it. Each takes what would
// be used and gives what shall be.
struct Seams {
  std::function<std::unique_ptr<Clock>(Executor& executor, Clock& real)> clock;
  std::function<std::unique_ptr<Ledger>(std::unique_ptr<Ledger> real, Clock& clock)> ledger;
  std::function<std::unique_ptr<GitLab>(std::unique_ptr<GitLab> real)> gitlab;
};

// Serves until a signal comes, then drains: OK. Fails, in one sentence, if it cannot begin. What is still at work when
// the drain's patience ends is left to the next start, by ending the process.
absl::Status Serve(const ServerConfig& config, const EndSignals& signals, Log& log, const Seams& seams = {});

}  // namespace tokenbroker
