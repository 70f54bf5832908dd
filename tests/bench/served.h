#pragma once
// A real broker with a ledger as large as wanted, and what it takes when nobody calls.

#include <string>
#include <vector>

#include "tests/bench/rpc_load.h"
#include "tests/bench/table.h"
#include "tests/integration/broker_process.h"

namespace tokenbroker::bench {

struct ServedOptions {
  int tokens = 0;           // In the ledger at the start, all of the caller `demo`.
  int max_connections = 0;  // To GitLab; 0: the broker's default.
};

class Served {
 public:
  explicit Served(const ServedOptions& options);

  House& house() { return house_; }
  int tokens() const { return options_.tokens; }
  RpcPeer peer();

  // Creates a token for the user `demo-user`.
  v1::CreateTokenRequest CreateRequest() const;
  // The same for a project, by its full path.
  v1::CreateTokenRequest CreateRequest(const std::string& project) const;
  // Creates some, so that connections are open, threads started and the target known.
  void WarmUp();

  // Memory, and the time from start to serving.
  std::vector<Row> IdleRows();

 private:
  const ServedOptions options_;
  House house_;
  Span start_{0};
};

// What /proc says of a process: "VmRSS" and "VmHWM" in kB, "Threads".
double ProcessFigure(pid_t pid, const std::string& name);
// The processor time that it has used, in seconds.
double ProcessorTime(pid_t pid);

}  // namespace tokenbroker::bench
