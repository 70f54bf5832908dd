#pragma once
// Faults that a broker could have, put between its components: the simulation must find each of them.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/gitlab/gitlab.h"
#include "server/ledger/ledger.h"

namespace tokenbroker::sim {

enum class Plant {
  kNone,
  kPostBeforeIntent,     // The intent is written a little after the POST was allowed.
  kNoLook,               // Looks are claimed and not done.
  kLookWithoutSettle,    // The first look that finds nothing closes the intent for good.
  kActivateBlindly,      // ACTIVE without compare-and-set.
  kAbsenceIsDeath,       // A 404 by id is proof, whatever else GitLab says.
  kUnknownIsRefused,     // An unknown end is taken for "nothing happened".
  kCommitBeforeSync,     // A commit is answered before it is on the disk.
  kNoFamilyLook,         // A token's row ends although a descendant of it lives.
  kRevocationForgotten,  // A caller's revocation is answered and not written.
  kRouteByOldRights,     // A token is asked for by the route of rights that the credential had when last checked.
  kNotFoundTooEarly,     // A 404 confirms a revocation although a replica may lag.
  kDateOfAnybody,        // GitLab's time is taken from whatever responds.
  kBelievesAnybody,      // A success counts that GitLab did not write.
  kSupersedesUsed,       // A repeat replaces a credential that is in use.
  kEndsLate,             // What is due is seen to five hours later.
  kOneQueue,             // Requests wait in one queue: a target that hangs holds everybody up.
  kOneFailureEndsWalks,  // One target whose list fails ends the reconciler's walk.
  kClockOfTheHost,       // The ledger's clock follows every step of the host's.
};
// In the order of the enum, without kNone.
const std::vector<std::pair<Plant, std::string_view>>& Plants();

// Where the ledger lies, for faults that go behind its back.
struct LedgerFile {
  std::string path;
  std::string vfs;
};

// The port with the fault in it; the port itself if the fault is elsewhere.
std::unique_ptr<Ledger> WithPlant(Plant plant, std::unique_ptr<Ledger> real, Executor& executor, Clock& clock,
                                  LedgerFile file);
std::unique_ptr<GitLab> WithPlant(Plant plant, std::unique_ptr<GitLab> real, Executor& executor, Clock& clock);

}  // namespace tokenbroker::sim
