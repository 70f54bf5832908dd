#include "tests/sim/server.h"

#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "google/protobuf/text_format.h"
#include "server/domain/upstream_time.h"
#include "server/ledger/sqlite_ledger.h"
#include "server/ledger/stored_rows.h"

namespace tokenbroker::sim {
namespace {

// Three callers: one without a quota, one with few tokens at a time and few a minute, one with two at a time.
constexpr char kPolicy[] = R"pb(
  callers {
    name: "ci"
    identities { spiffe: "spiffe://sim/ci" }
  }
  callers {
    name: "build"
    identities { spiffe: "spiffe://sim/build" }
  }
  callers {
    name: "deploy"
    identities { spiffe: "spiffe://sim/deploy" }
  }
  roles {
    key: "maker"
    value {
      grants {
        verbs: "create"
        targets { user: 42 }
        targets { user: 43 }
        targets { project: "acme/*" }
        scopes: "read_repository"
        scopes: "api"
        self_extending: true
        max_access_level: 30
        max_ttl: "30d"
      }
    }
  }
  roles {
    key: "busy"
    value {
      grants {
        verbs: "create"
        targets { user: 42 }
        targets { user: 43 }
        targets { project: "acme/*" }
        scopes: "read_repository"
        scopes: "api"
        self_extending: true
        max_access_level: 30
        max_ttl: "30d"
        max_active: 3
        creates_per_minute: 2
      }
    }
  }
  roles {
    key: "few"
    value {
      grants {
        verbs: "create"
        targets { user: 42 }
        targets { user: 43 }
        targets { project: "acme/*" }
        scopes: "read_repository"
        scopes: "api"
        self_extending: true
        max_access_level: 30
        max_ttl: "30d"
        max_active: 2
      }
    }
  }
  bindings { callers: "ci" roles: "maker" }
  bindings { callers: "build" roles: "busy" }
  bindings { callers: "deploy" roles: "few" }
)pb";

class OnePolicy final : public PolicySource {
 public:
  OnePolicy() {
    config::v1::Policy source;
    google::protobuf::TextFormat::ParseFromString(kPolicy, &source);
    policy_ = *Policy::Compile(source, "sim", {});
  }
  std::shared_ptr<const Policy> Current() const override { return policy_; }

 private:
  std::shared_ptr<const Policy> policy_;
};

SqliteLedgerOptions OptionsFor(const std::string& folder, const std::string& name, const MemoryDisk& disk) {
  SqliteLedgerOptions options;
  options.path = Lab::LedgerPath(folder, name);
  options.broker = name;
  options.vfs = disk.vfs();
  options.on_executor = true;
  return options;
}

}  // namespace

Lab::Lab() : policies_(std::make_unique<OnePolicy>()) {
  // For the ledgers' lock files alone; in memory, where there is such a place.
  const std::filesystem::path memory = "/dev/shm";
  std::string folder =
      (std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path()) / "sim_XXXXXX";
  folder_ = mkdtemp(folder.data());
}

Lab::~Lab() { std::filesystem::remove_all(folder_); }

const MemoryDisk& Lab::FreshDisk(const std::string& broker) {
  std::unique_ptr<MemoryDisk>& disk = fresh_[broker];
  if (disk == nullptr) {
    disk = std::make_unique<MemoryDisk>();
    ManualLoop loop;
    Draw draw(1);
    (void)OpenSqliteLedger(OptionsFor(folder_, broker, *disk), loop, loop, draw, metrics_);
  }
  return *disk;
}

Server::Server(Lab& lab, Sky& sky, Draw& draw, std::string name, Plant plant, Log& log)
    : lab_(lab), sky_(sky), draw_(draw), name_(std::move(name)), plant_(plant), log_(log) {
  disk_.CopyFrom(lab.FreshDisk(name_));
  if (plant == Plant::kCommitBeforeSync) disk_.set_fault(MemoryDisk::Fault::kSyncsLie);
}

Server::~Server() {
  if (alive()) Kill(/*power=*/false);
  EndProcess();
}

bool Server::Start() {
  EndProcess();
  NoteClock();
  process_ = std::make_unique<Process>(sky_.world, host_);
  // As server/serve.cc does.
  if (plant_ != Plant::kClockOfTheHost) agreed_clock_ = std::make_unique<AgreedClock>(*process_);
  Clock& clock = agreed_clock_ == nullptr ? static_cast<Clock&>(*process_) : *agreed_clock_;
  slots_.emplace(*process_, clock, lab_.metrics(), 8);
  const SqliteLedgerOptions options = OptionsFor(lab_.folder(), name_, disk_);
  absl::StatusOr<std::unique_ptr<Ledger>> ledger = OpenSqliteLedger(options, *process_, clock, draw_, lab_.metrics());
  if (!ledger.ok()) {
    process_->Kill();
    return false;
  }
  ledger_ = WithPlant(plant_, *std::move(ledger), *process_, *process_, {options.path, options.vfs});
  upstream_ = WithPlant(plant_, std::make_unique<Upstream>(sky_, *process_, name_, plant_), *process_, *process_);
  const BrokerParts parts = {*process_, clock,           draw_,          *ledger_, *upstream_,
                             *slots_,   lab_.policies(), lab_.metrics(), log_};
  BrokerOptions broker_options;
  broker_options.name = name_;
  broker_options.instance = "main";
  if (plant_ == Plant::kNotFoundTooEarly) broker_options.settle = Duration(0);
  broker_options.reconcile_calls_per_minute = 6000;  // So that a walk fits between two leaps.
  broker_ = std::make_unique<Broker>(parts, std::move(broker_options));
  if (agreed_clock_ != nullptr) {
    agreed_clock_->Start([this] { return ConfirmingUpstreamNow(upstream_->Time(), process_->Boot()); },
                         [this](Duration, Duration followed) {
                           if (followed < Duration(0)) broker_->ClockWentBack();
                         });
  }
  broker_->StartLifecycle();
  return true;
}

void Server::NoteClock() {
  earliest_clock_ = std::min(earliest_clock_, host_.clock_offset);
  latest_clock_ = std::max(latest_clock_, host_.clock_offset);
}

void Server::Kill(bool power) {
  process_->Kill();
  if (power) {
    disk_.CutPower([this] { return draw_.Percent(50); });
  } else {
    disk_.KillConnections();
  }
}

void Server::EndProcess() {
  if (process_ == nullptr) return;
  if (agreed_clock_ != nullptr) agreed_clock_->Stop();
  if (broker_ != nullptr) {
    broker_->Drain(Duration(0));
    if (!process_->RunOut([this] { return broker_->scope().running() == 0; })) {
      std::fputs("a coroutine of a dead process waits for something that never comes\n", stderr);
      std::abort();
    }
    // What a fault had planted beside the broker's own scope.
    (void)process_->RunOut([] { return false; });
  }
  broker_.reset();
  upstream_.reset();
  ledger_.reset();
  slots_.reset();
  agreed_clock_.reset();
  process_.reset();
}

absl::StatusOr<std::vector<TokenRecord>> Server::Rows() const {
  return ReadStoredRows(Lab::LedgerPath(lab_.folder(), name_), disk_.vfs());
}

absl::StatusOr<std::vector<AuditEvent>> Server::Events() const {
  return ReadStoredEvents(Lab::LedgerPath(lab_.folder(), name_), disk_.vfs());
}

absl::Status Server::VerifyAudit() const {
  return VerifyStoredAudit(Lab::LedgerPath(lab_.folder(), name_), disk_.vfs());
}

}  // namespace tokenbroker::sim
