#include "client/tokenctl/hardening.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>

namespace tokenbroker::tokenctl {

void HardenProcess() {
  const rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  // No other process of this user reads our memory, and a core that is piped to a program is not written either.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  // gRPC's traces show what is sent, and its log would stand between the lines that we mean to be read.
  unsetenv("GRPC_TRACE");
  setenv("GRPC_VERBOSITY", "NONE", 1);
  unsetenv("SSLKEYLOGFILE");
  // The system's resolver knows what its administrator configured (nsswitch.conf); gRPC's own does not.
  setenv("GRPC_DNS_RESOLVER", "native", 0);
  // A reader that leaves is an error of ours to report (a secret may be lost), not a death.
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace tokenbroker::tokenctl
