// tokenbrokerd: wires the rooms, serves, and drains.

#include <signal.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "server/base/event_loop.h"
#include "server/base/random.h"
#include "server/broker/broker.h"
#include "server/config/policy_file.h"
#include "server/config/server_config.h"
#include "server/gitlab/http_gitlab.h"
#include "server/gitlab/slots.h"
#include "server/ledger/sqlite_ledger.h"
#include "server/process.h"
#include "server/rpc/server.h"
#include "server/telemetry/http_door.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {
namespace {

// How long a drain waits for calls, and then for what they left to be done.
constexpr Duration kDrainCalls = seconds(15);
constexpr Duration kDrainWork = seconds(75);  // A POST may be under way for a minute, and is never cut off.

// The signals that end the broker, blocked before any thread starts, so that only Wait sees them.
class EndSignals {
 public:
  EndSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    signal(SIGPIPE, SIG_IGN);
  }
  int Wait() const {
    int number = 0;
    sigwait(&set_, &number);
    return number;
  }

 private:
  sigset_t set_{};
};

std::string AddressWithPort(const std::string& address, int port) {
  return address.substr(0, address.rfind(':') + 1) + std::to_string(port);
}

void WarnOfDanger(const ServerConfig& config, Metrics& metrics, Log& log) {
  metrics.SetDanger("allow_admin_targets", config.allow_admin_targets);
  if (config.allow_admin_targets) {
    log.Warn("danger.allow_admin_targets is on: the policy may grant administrators and their scopes");
  }
}

absl::Status Serve(const ServerConfig& config, const EndSignals& signals, Log& log) {
  Metrics metrics;
  WarnOfDanger(config, metrics, log);
  SystemRandom random;
  // From here down everything outlives what stands on it.
  EventLoop loop;
  absl::StatusOr<std::unique_ptr<Ledger>> ledger =
      OpenSqliteLedger({config.sqlite_file, config.broker, config.gitlab.settle}, loop, loop, random, metrics);
  if (!ledger.ok()) return ledger.status();
  Slots slots(loop, loop, metrics, config.gitlab.max_connections);
  absl::StatusOr<std::unique_ptr<GitLab>> gitlab =
      MakeHttpGitLab({config.gitlab.url, config.gitlab.issuer_file, config.gitlab.ca_file, config.gitlab.proxy,
                      config.gitlab.max_connections},
                     loop, loop, slots, metrics, log);
  if (!gitlab.ok()) return gitlab.status();
  PolicyFile policies(config.policy_file, {config.allow_admin_targets}, loop, metrics, log);
  policies.LoadAtStart();
  Broker broker({loop, loop, random, **ledger, **gitlab, slots, policies, metrics, log},
                {config.broker, config.gitlab.name, config.gitlab.settle});

  std::atomic<bool> draining = false;
  absl::StatusOr<std::unique_ptr<HttpDoor>> door = HttpDoor::Open(config.http_address, metrics, [&]() -> absl::Status {
    if (draining) return absl::UnavailableError("draining");
    return policies.ready();
  });
  if (!door.ok()) return door.status();
  absl::StatusOr<std::unique_ptr<RpcServer>> server = RpcServer::Start(
      {config.grpc_address, config.certificate_file, config.key_file, config.client_ca_file, config.max_connection_age},
      {broker, policies, loop, metrics, log});
  if (!server.ok()) return server.status();
  policies.Start();
  broker.StartLifecycle();
  log.Info("serving", {{"grpc", AddressWithPort(config.grpc_address, (*server)->port())},
                       {"http", AddressWithPort(config.http_address, (*door)->port())},
                       {"gitlab", config.gitlab.url},
                       {"broker", config.broker}});

  log.Info("draining", {{"signal", signals.Wait()}});
  draining = true;
  (*server)->Shutdown(kDrainCalls);
  const bool done = broker.Drain(kDrainWork);
  log.Info("ended", {{"all_work_done", done}});
  // What still runs has only the ledger to tell: the next start goes on from there.
  if (!done) std::_Exit(0);
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app("tokenbrokerd mints, lists and revokes GitLab access tokens for the services that call it.");
  std::string config_file;
  bool check_config = false;
  app.add_option("--config", config_file, "The configuration file (YAML)")->required();
  app.add_flag("--check-config", check_config, "Reads the configuration and the policy, says what is wrong, and ends");
  CLI11_PARSE(app, argc, argv);

  const Environment environment = ReadEnvironment();
  absl::Status status = CheckEnvironment(environment);
  if (status.ok()) status = HardenProcess();
  absl::StatusOr<ServerConfig> config = absl::UnknownError("not read");
  if (status.ok()) {
    config = LoadServerConfig(config_file);
    status = config.status();
  }
  if (status.ok() && check_config) status = CheckPolicyFile(config->policy_file, {config->allow_admin_targets});
  if (!status.ok()) {
    std::fprintf(stderr, "tokenbrokerd: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  if (check_config) {
    std::printf("%s and %s are good\n", config_file.c_str(), config->policy_file.c_str());
    return 0;
  }
  PrepareForLoad();
  const EndSignals signals;
  const std::unique_ptr<Log> log = MakeStderrLog(config->log_level);
  for (const std::string& name : ProxyVariables(environment)) {
    log->Warn("proxy variable ignored: connections to GitLab use gitlab.proxy of the configuration, or none",
              {{"variable", name}});
  }
  status = Serve(*config, signals, *log);
  if (status.ok()) return 0;
  log->Error("cannot serve", {{"error", std::string(status.message())}});
  return 1;
}

}  // namespace
}  // namespace tokenbroker

int main(int argc, char** argv) { return tokenbroker::Main(argc, argv); }
