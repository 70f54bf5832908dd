// tokenbrokerd: reads its command line and configuration, and serves.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/base/event_loop.h"
#include "server/base/random.h"
#include "server/check_start.h"
#include "server/config/server_config.h"
#include "server/ledger/maintenance.h"
#include "server/process.h"
#include "server/serve.h"
#include "server/telemetry/log.h"

namespace tokenbroker {
namespace {

int Fork(const ServerConfig& config, const std::string& name) {
  SystemRandom random;
  const absl::StatusOr<int> rows = ForkLedger(config.sqlite_file, name, EventLoop().Now(), random);
  if (!rows.ok()) {
    std::fprintf(stderr, "tokenbrokerd: %s\n", std::string(rows.status().message()).c_str());
    return 1;
  }
  std::printf("%s belongs to broker \"%s\" now: %d open rows closed\n", config.sqlite_file.c_str(), name.c_str(),
              *rows);
  return 0;
}

absl::Status GiveUpLooks(const ServerConfig& config, Log& log) {
  SystemRandom random;
  const absl::StatusOr<int> rows = GiveUpLooksIn(config.sqlite_file, config.broker, EventLoop().Now(), random);
  if (!rows.ok()) return rows.status();
  log.Warn("restored ledger: what was under way is reported, not looked for", {{"rows", *rows}});
  return absl::OkStatus();
}

// Prints every error that a start would meet; the exit code.
int CheckConfig(const std::string& config_file) {
  const std::vector<absl::Status> errors = FindStartErrors(config_file);
  for (const absl::Status& error : errors) {
    std::fprintf(stderr, "tokenbrokerd: %s\n", std::string(error.message()).c_str());
  }
  if (!errors.empty()) return 1;
  std::printf("%s and every file that it names are good\n", config_file.c_str());
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("tokenbrokerd mints, lists and revokes GitLab access tokens for the services that call it.");
  std::string config_file;
  std::string fork;
  bool restored = false;
  bool check_config = false;
  app.add_option("--config", config_file, "The configuration file (YAML)")->required();
  app.add_flag("--check-config", check_config,
               "Checks everything that a start checks, prints every error, and exits; changes nothing");
  app.add_flag("--restored", restored,
               "For the first start on a ledger from a backup: what was under way in it is reported, not looked for");
  app.add_option("--fork-ledger", fork,
                 "Writes this broker name into a copy of a ledger, closes its open rows, and ends");
  CLI11_PARSE(app, argc, argv);

  const Environment environment = ReadEnvironment();
  absl::Status status = CheckEnvironment(environment);
  if (status.ok()) status = HardenProcess();
  if (status.ok() && check_config) return CheckConfig(config_file);
  absl::StatusOr<ServerConfig> config = absl::UnknownError("not read");
  if (status.ok()) {
    config = LoadServerConfig(config_file);
    status = config.status();
  }
  if (!status.ok()) {
    std::fprintf(stderr, "tokenbrokerd: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  if (!fork.empty()) return Fork(*config, fork);
  PrepareForLoad();
  const EndSignals signals;
  const std::unique_ptr<Log> log = MakeStderrLog(config->log_level);
  for (const std::string& name : ProxyVariables(environment)) {
    log->Warn("proxy variable ignored: connections to GitLab use gitlab.proxy of the configuration, or none",
              {{"variable", name}});
  }
  if (restored) status = GiveUpLooks(*config, *log);
  if (status.ok()) status = Serve(*config, signals, *log);
  if (status.ok()) return 0;
  log->Error("cannot serve", {{"error", std::string(status.message())}});
  return 1;
}

}  // namespace
}  // namespace tokenbroker

// NOLINTNEXTLINE(bugprone-exception-escape): one that nobody expects ends the process.
int main(int argc, char** argv) { return tokenbroker::Main(argc, argv); }
