#pragma once
// What makes the process safe to hold secrets: no core dumps, and none of the environment's switches that would make a
// library under us print what passes through it or send it elsewhere. And what makes it fit for many calls at a time.

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace tokenbroker {

// The environment as "NAME=value" texts, as `environ` holds it.
using Environment = std::vector<std::string>;
Environment ReadEnvironment();

// FAILED_PRECONDITION, naming the variable, if the environment would make a library print secrets: GRPC_TRACE,
// GRPC_VERBOSITY=debug, SSLKEYLOGFILE.
absl::Status CheckEnvironment(const Environment& environment);

// The names of the proxy variables that are set. None has an effect: the configuration's gitlab.proxy has.
std::vector<std::string> ProxyVariables(const Environment& environment);

// No core file, no ptrace by others of the same user. To be called before any thread starts.
absl::Status HardenProcess();

// Lets it have as many files open as the hard limit says, each connection being one, and switches off what costs a
// part of every lock.
void PrepareForLoad();

}  // namespace tokenbroker
