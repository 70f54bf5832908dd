#include "server/serve.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "server/base/agreed_clock.h"
#include "server/base/event_loop.h"
#include "server/base/random.h"
#include "server/broker/broker.h"
#include "server/config/policy_file.h"
#include "server/config/policy_options.h"
#include "server/gitlab/http_gitlab.h"
#include "server/gitlab/slots.h"
#include "server/identity/bearer_verifier.h"
#include "server/ledger/sqlite_ledger.h"
#include "server/rpc/grpc_log.h"
#include "server/rpc/server.h"
#include "server/telemetry/http_door.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {
namespace {

// How long a drain waits for calls, and then for what they left to be done.
constexpr Duration kDrainCalls = seconds(15);
constexpr Duration kDrainWork = seconds(75);  // A POST may be under way for a minute, and is never cut off.

std::string AddressWithPort(const std::string& address, int port) {
  return address.substr(0, address.rfind(':') + 1) + std::to_string(port);
}

void WarnOfDanger(const ServerConfig& config, Metrics& metrics, Log& log) {
  metrics.SetDanger("allow_admin_targets", config.allow_admin_targets);
  if (config.allow_admin_targets) {
    log.Warn("danger.allow_admin_targets is on: the policy may grant administrators and their scopes");
  }
}

// Null if no issuer is trusted.
std::unique_ptr<BearerVerifier> OpenVerifier(const std::vector<JwtIssuerConfig>& issuers, Clock& clock, Random& random,
                                             Metrics& metrics, Log& log) {
  if (issuers.empty()) return nullptr;
  std::vector<TrustedIssuer> trusted;
  for (const JwtIssuerConfig& each : issuers) {
    const std::string url = each.discovery_url.empty() ? DiscoveryUrl(each.issuer) : each.discovery_url;
    trusted.push_back({{each.issuer, each.audiences, each.clock_skew},
                       each.jwks_file,
                       {each.issuer, url, each.ca_file, each.bearer_file},
                       each.refresh});
  }
  return OpenBearerVerifier(std::move(trusted), clock, random, metrics, log);
}

// As many connections as there are descriptors for: each of a caller takes two (server/rpc/connection_door.h), each to
// GitLab one, and the rest is for the HTTP endpoints, the ledger and gRPC itself.
int ConnectionsWithin(const ServerConfig& config, Log& log) {
  constexpr int kOtherDescriptors = 128 + 100;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return config.max_connections;
  const auto left = static_cast<std::int64_t>(files.rlim_cur) - config.gitlab.max_connections - kOtherDescriptors;
  const int most = static_cast<int>(std::clamp<std::int64_t>(left / 2, 1, config.max_connections));
  if (most < config.max_connections) {
    log.Warn("fewer connections than configured: the process may open too few files",
             {{"listen.max_connections", config.max_connections},
              {"connections", most},
              {"open_files", static_cast<std::int64_t>(files.rlim_cur)}});
  }
  return most;
}

RpcServerOptions RpcOptionsOf(const ServerConfig& config, Log& log) {
  RpcServerOptions options;
  options.address = config.grpc_address;
  options.certificate_file = config.certificate_file;
  options.key_file = config.key_file;
  options.client_ca_file = config.client_ca_file;
  options.max_connection_age = config.max_connection_age;
  options.client_certificate_required = config.client_certificate_required;
  options.max_connections = ConnectionsWithin(config, log);
  options.client_crl_file = config.client_crl_file;
  options.callers.client_certificate_required = config.client_certificate_required;
  options.callers.max_calls_per_caller = config.max_calls_per_caller;
  for (const TrustDomainConfig& each : config.trust_domains) {
    options.trust_domains.push_back({each.name, each.ca_file});
    options.callers.trust_domains.push_back(each.name);
  }
  return options;
}

// One warning for each step of the host's clock that is not followed, and a line when one is.
AgreedClock::Report ClockReport(Broker& broker, Metrics& metrics, Log& log) {
  return [&broker, &metrics, &log, warned = Duration(0)](Duration difference, Duration followed) mutable {
    metrics.SetClockDifference(difference);
    const auto seconds_of = [](Duration duration) { return static_cast<double>(duration.count()) / 1e6; };
    if (followed != Duration(0)) {
      log.Warn("a step of the host's clock was followed: GitLab's clock agrees with it",
               {{"step_s", seconds_of(followed)}});
    }
    if (followed < Duration(0)) broker.ClockWentBack();
    const Duration change = difference - warned;
    if (difference == Duration(0)) {
      warned = Duration(0);
    } else if (change > seconds(1) || change < -seconds(1)) {
      warned = difference;
      log.Warn("the host's clock has stepped; it is followed when GitLab's clock agrees with it, or at the next start",
               {{"difference_s", seconds_of(difference)}});
    }
  };
}

// What the comparison uses goes before the clock does.
struct ClockStopper {
  explicit ClockStopper(AgreedClock& the_clock) : clock(the_clock) {}
  ~ClockStopper() { clock.Stop(); }
  AgreedClock& clock;
};

// The log goes before gRPC's threads do.
struct GrpcLogStopper {
  ~GrpcLogStopper() { StopGrpcLog(); }
};

}  // namespace

EndSignals::EndSignals() {
  sigemptyset(&set_);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}) sigaddset(&set_, number);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

int EndSignals::Wait(Log& log) const {
  for (;;) {
    int number = 0;
    if (sigwait(&set_, &number) != 0) continue;
    if (number == SIGTERM || number == SIGINT) return number;
    log.Info("signal ignored: replaced files are taken without one", {{"signal", number}});
  }
}

absl::Status Serve(const ServerConfig& config, const EndSignals& signals, Log& log, const Seams& seams) {
  RouteGrpcLog(log);
  const GrpcLogStopper stopper;
  Metrics metrics;
  WarnOfDanger(config, metrics, log);
  SystemRandom random;
  // From here down everything outlives what stands on it.
  EventLoop loop;
  const std::unique_ptr<Clock> other_clock = seams.clock ? seams.clock(loop, loop) : nullptr;
  AgreedClock clock(other_clock != nullptr ? *other_clock : loop);
  // A large policy takes a second to read and compile: a thread apart does it, and no call and no expiry waits for it.
  EventLoop policy_loop;
  PolicyFile policies(config.policy_file, PolicyOptionsOf(config), policy_loop, metrics, log);
  // The HTTP endpoints answer from the beginning: the process is live while the ledger is opened and the policy is
  // read.
  std::atomic<bool> serving = false;
  std::atomic<bool> draining = false;
  absl::StatusOr<std::unique_ptr<HttpDoor>> door = HttpDoor::Open(config.http_address, metrics, [&]() -> absl::Status {
    if (draining) return absl::UnavailableError("draining");
    if (!serving) return absl::UnavailableError("starting: ledger and policy are being loaded");
    return policies.ready();
  });
  if (!door.ok()) return door.status();
  log.Info("http endpoints open", {{"http", AddressWithPort(config.http_address, (*door)->port())}});
  absl::StatusOr<std::unique_ptr<Ledger>> ledger =
      OpenSqliteLedger({config.sqlite_file, config.broker, config.gitlab.settle}, loop, clock, random, metrics);
  if (!ledger.ok()) return ledger.status();
  if (seams.ledger) ledger = seams.ledger(*std::move(ledger), clock);
  Slots slots(loop, clock, metrics, config.gitlab.max_connections);
  absl::StatusOr<std::unique_ptr<GitLab>> gitlab =
      MakeHttpGitLab({config.gitlab.url, config.gitlab.issuer_file, config.gitlab.ca_file, config.gitlab.proxy,
                      config.gitlab.max_connections},
                     loop, clock, slots, metrics, log);
  if (!gitlab.ok()) return gitlab.status();
  if (seams.gitlab) gitlab = seams.gitlab(*std::move(gitlab));
  Broker broker({loop, clock, random, **ledger, **gitlab, slots, policies, metrics, log},
                {config.broker, config.gitlab.name, config.gitlab.settle, config.gitlab.facts_max_age});
  const std::unique_ptr<BearerVerifier> bearers = OpenVerifier(config.issuers, clock, random, metrics, log);

  policies.LoadAtStart();
  absl::StatusOr<std::unique_ptr<RpcServer>> server =
      RpcServer::Start(RpcOptionsOf(config, log), {broker, policies, clock, metrics, log, bearers.get()});
  if (!server.ok()) return server.status();
  clock.Start([&] { return ConfirmingUpstreamNow((*gitlab)->Time(), clock.Boot()); },
              ClockReport(broker, metrics, log));
  const ClockStopper clock_stopper{clock};
  serving = true;
  policies.Start();
  broker.StartLifecycle();
  log.Info("serving", {{"grpc", AddressWithPort(config.grpc_address, (*server)->port())},
                       {"http", AddressWithPort(config.http_address, (*door)->port())},
                       {"gitlab", config.gitlab.url},
                       {"broker", config.broker}});

  log.Info("draining", {{"signal", signals.Wait(log)}});
  draining = true;
  (*server)->Shutdown(kDrainCalls);
  const bool done = broker.Drain(kDrainWork);
  log.Info("ended", {{"all_work_done", done}});
  // What still runs has only the ledger to tell: the next start goes on from there.
  if (!done) std::_Exit(0);
  return absl::OkStatus();
}

}  // namespace tokenbroker
