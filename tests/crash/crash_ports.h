#pragma once
// The real ledger and the real GitLab port with a crash point on each side of every verb that the use cases use.

#include <memory>

#include "server/gitlab/gitlab.h"
#include "server/ledger/ledger.h"
#include "tests/crash/whereabouts.h"

namespace tokenbroker {

std::unique_ptr<Ledger> WithCrashPoints(std::unique_ptr<Ledger> real, std::shared_ptr<Whereabouts> whereabouts);
std::unique_ptr<GitLab> WithCrashPoints(std::unique_ptr<GitLab> real, std::shared_ptr<Whereabouts> whereabouts);

}  // namespace tokenbroker
