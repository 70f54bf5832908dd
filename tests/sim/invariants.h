#pragma once
// What must be true of GitLab's truth, the ledger's rows and what the callers know.
//
//   I1 every live token that the broker made has a row        I2 none has a row that is REVOKED or EXPIRED
//   I3 an acknowledged revocation never leads back to ACTIVE  I4 in quiet, the live set is that of the ACTIVE rows
//
// Tokens are compared by upstream id with what GitLab's truth says of them (sky.h): a marker shows only whose they are.

#include <memory>
#include <string>
#include <vector>

#include "tests/sim/job.h"
#include "tests/sim/server.h"
#include "tests/sim/sky.h"

namespace tokenbroker::sim {

enum class When {
  kAlways,   // In the midst of everything.
  kSettled,  // `settle` after the last create, and the weather was fine since: what was carried out within it is dead.
  kQuiet,    // After the last look; nothing is on its way any more.
};

// What is wrong now, in words; empty if nothing is. The server is alive.
std::vector<std::string> WhatIsWrong(When when, const Sky& sky, const Server& server,
                                     const std::vector<TokenRecord>& rows,
                                     const std::vector<std::unique_ptr<Job>>& jobs);

// Which of the tokens that ended by their ttl did so before it, by the clock of the moment when that was decided.
std::vector<std::string> EndedTooEarly(const std::vector<AuditEvent>& events);

}  // namespace tokenbroker::sim
