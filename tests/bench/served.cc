#include "tests/bench/served.h"

#include <unistd.h>

#include <fstream>
#include <thread>
#include <utility>

#include "server/ledger/filled_ledger.h"

namespace tokenbroker::bench {
namespace {

constexpr double kIdleTargetMb = 40;
constexpr double kStartTargetMs = 300;
// Whatever the start left to be done in the background is over by then.
constexpr std::chrono::seconds kCalm(3);
constexpr Span kWarmUp(0.2);

WallTime WallNow() {
  return WallTime(std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()));
}

void Fill(const std::string& path, int tokens) {
  LedgerFilling filling;
  filling.owner = "demo";
  filling.tokens = tokens;
  filling.now = WallNow();
  const absl::Status filled = WriteFilledLedger(path, "test", filling);
  if (!filled.ok()) Fail("cannot fill a ledger: " + filled.ToString());
}

}  // namespace

Served::Served(const ServedOptions& options) : options_(options) {
  if (options.tokens > 0) Fill(house_.path("ledger.db"), options.tokens);
  if (options.max_connections > 0) {
    house_.EditConfig("log:\n", "    max_connections: " + std::to_string(options.max_connections) + "\nlog:\n");
  }
  // One caller makes all the calls here.
  house_.EditConfig("ledger:\n", "  max_calls_per_caller: 100000\nledger:\n");
  const Clock::time_point began = Clock::now();
  if (!house_.StartBroker()) Fail("the broker does not start: " + house_.output());
  start_ = Clock::now() - began;
}

RpcPeer Served::peer() {
  const auto [certificate, key] = house_.ClientFiles("spiffe://test/demo");
  return {house_.grpc_address(), house_.path("ca.pem"), certificate, key};
}

v1::CreateTokenRequest Served::CreateRequest() const {
  v1::CreateTokenRequest request;
  *request.mutable_token() = UserTokenSpec(house_.demo_user(), std::chrono::hours(8));
  return request;
}

v1::CreateTokenRequest Served::CreateRequest(const std::string& project) const {
  v1::CreateTokenRequest request;
  *request.mutable_token() = ProjectTokenSpec(project, std::chrono::hours(8));
  return request;
}

void Served::WarmUp() {
  RpcLoad load(peer());
  const v1::CreateTokenRequest request = CreateRequest();
  const Start create = [&](Done done) { load.Create(request, std::move(done)); };
  // The first one alone: until it has ended, each call would have GitLab look up the target.
  KeepInFlight(1, Span(0), create);
  KeepInFlight(64, kWarmUp, create);
}

std::vector<Row> Served::IdleRows() {
  std::this_thread::sleep_for(kCalm);
  const std::string who = "Idle broker, " + std::to_string(options_.tokens) + " tokens: ";
  const double mb = ProcessFigure(house_.broker().pid(), "VmRSS") / 1024;
  const double ms = start_.count() * 1e3;
  return {{who + "memory", {}, FormatNumber(mb, 1) + " MB", "< 40 MB", mb < kIdleTargetMb},
          {who + "start to serving", {}, FormatNumber(ms, 0) + " ms", "< 300 ms", ms < kStartTargetMs}};
}

double ProcessFigure(pid_t pid, const std::string& name) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::stod(line.substr(name.size() + 1));
  }
  return 0;
}

double ProcessorTime(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string skipped;
  std::getline(stat, skipped, ')');  // The name may have blanks.
  for (int field = 3; field < 14; ++field) stat >> skipped;
  double user = 0;
  double system = 0;
  stat >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace tokenbroker::bench
