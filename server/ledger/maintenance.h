#pragma once
// What is done to a ledger while no broker uses it.

#include <string>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/random.h"

namespace tokenbroker {

// For a ledger that was restored from a backup: what was PENDING or still looked for in it is not looked for any more,
// since a look would revoke what was answered after the backup. Whatever it made is reported by the reconciler instead.
// How many rows. Fails as OpenSqliteLedger does.
absl::StatusOr<int> GiveUpLooksIn(const std::string& path, const std::string& broker, WallTime now, Random& random);

// For a copy of another broker's ledger: writes the name of its new broker into it and closes all open rows as
// ABANDONED, without a word to GitLab. How many rows. INVALID_ARGUMENT for a name that is none, or is the old one.
absl::StatusOr<int> ForkLedger(const std::string& path, const std::string& new_broker, WallTime now, Random& random);

}  // namespace tokenbroker
