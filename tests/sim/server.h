#pragma once
// One broker of the simulated world: its host, its disk, and the process that runs now. What a process start leaves
// behind when it dies is what its disk kept.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/base/agreed_clock.h"
#include "server/broker/broker.h"
#include "server/ledger/memory_disk.h"
#include "server/telemetry/metrics.h"
#include "tests/sim/planted.h"
#include "tests/sim/process.h"
#include "tests/sim/upstream.h"

namespace tokenbroker::sim {

// What all runs of one thread share, since it is costly to make and holds nothing of a run.
class Lab {
 public:
  Lab();
  ~Lab();

  const std::string& folder() const { return folder_; }
  // A disk with a fresh ledger of this broker.
  const MemoryDisk& FreshDisk(const std::string& broker);
  static std::string LedgerPath(const std::string& folder, const std::string& broker) {
    return folder + '/' + broker + ".db";
  }
  Metrics& metrics() { return metrics_; }
  const PolicySource& policies() const { return *policies_; }

 private:
  std::string folder_;
  Metrics metrics_;
  std::unique_ptr<PolicySource> policies_;
  std::map<std::string, std::unique_ptr<MemoryDisk>> fresh_;
};

class Server {
 public:
  Server(Lab& lab, Sky& sky, Draw& draw, std::string name, Plant plant, Log& log);
  ~Server();

  const std::string& name() const { return name_; }
  bool alive() const { return process_ != nullptr && !process_->dead(); }
  // Of one that is alive.
  Broker& broker() { return *broker_; }
  Process& process() { return *process_; }
  Host& host() { return host_; }
  // By how much the ledger's clock may rightly differ from the world's within a token's life: see NoteClock.
  Duration clock_spread() const { return latest_clock_ - earliest_clock_; }
  // The host's clock, as the ledger may follow it from now on.
  void NoteClock();
  MemoryDisk& disk() { return disk_; }

  // A process start. False if the ledger cannot be opened.
  bool Start();
  // SIGKILL; or, with `power`, the whole host is off, and of unsynced writes some survive.
  void Kill(bool power);

  absl::StatusOr<std::vector<TokenRecord>> Rows() const;
  absl::Status VerifyAudit() const;
  absl::StatusOr<std::vector<AuditEvent>> Events() const;

 private:
  void EndProcess();

  Lab& lab_;
  Sky& sky_;
  Draw& draw_;
  const std::string name_;
  const Plant plant_;
  Log& log_;
  Host host_;
  Duration earliest_clock_{0};  // Of the offsets that the ledger's clock may have had.
  Duration latest_clock_{0};
  MemoryDisk disk_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<AgreedClock> agreed_clock_;  // Null with the fault of that kind: everything follows the host's.
  std::optional<Slots> slots_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<GitLab> upstream_;
  std::unique_ptr<Broker> broker_;
};

}  // namespace tokenbroker::sim
