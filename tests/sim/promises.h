#pragma once
// What a broker promises about time, use and numbers, checked against the truth that the simulated GitLab keeps.
//
// Lateness. A token is due when its revocation was acknowledged, or `ttl` after its intent became durable, by the
// world's clock; what the ledger's clock may rightly differ (Server::NoteClock) comes on top. With F the instant since
// when no fault can touch its target, a live token must be gone
//   due after F:   2 s after it was due, and 1 s for each list of a token that can extend itself;
//   due before F:  at F + max(15 s, F - due + 11 s) + 35 s, and at F + 1 h + 35 s at the latest.
// The intervals between attempts double from one second on, so that the next one is never further away than the first
// one is past (10 s of it before the acknowledgement); while GitLab does not respond they are 15 s at most, otherwise
// an hour. A claim that died with its process ends after 30 s; 5 s are for the requests themselves.
//
// Earliness. No token that a caller was given ends by its ttl before `ttl` after its intent, less what the ledger's
// clock may differ and the 5 s that a commit may take.
//
// Reconciliation: while one target is in trouble, every ACTIVE row of another is compared with GitLab.
//
// Quotas, counted from the rows: tokens that are open, each request_id once however many attempts it has; and creates
// within any minute.

#include <optional>
#include <string>
#include <vector>

#include "tests/sim/storm.h"

namespace tokenbroker::sim {

// Since when nothing is in the way; nothing: something still may be.
struct FineSince {
  std::optional<BootTime> all;       // Everything but the troubled target.
  std::optional<BootTime> troubled;  // The troubled target.
};

std::vector<std::string> BrokenPromises(const Sky& sky, const Server& server, const std::vector<TokenRecord>& rows,
                                        const Jobs& jobs, const FineSince& fine);

// ACTIVE rows of targets that respond which were not compared with GitLab in the last `within`.
std::vector<std::string> NotReconciled(const Sky& sky, const Server& server, const std::vector<TokenRecord>& rows,
                                       Duration within);

// When tokens that live now will be due, for whoever wants to be there: the instants until `until`, in order.
std::vector<BootTime> EndsUntil(const Sky& sky, BootTime until);

}  // namespace tokenbroker::sim
