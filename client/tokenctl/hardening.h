#pragma once
// A process that handles secrets and leaves none behind.

namespace tokenbroker::tokenctl {

// Call it first in main, before gRPC starts: no core file and no other process of the user gets a secret, nothing
// prints one, and a reader that leaves is an error that can be reported.
void HardenProcess();

}  // namespace tokenbroker::tokenctl
