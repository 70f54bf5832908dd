// tokenbrokerd: reads its command line and configuration, and serves.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/base/event_loop.h"
#include "server/base/random.h"
#include "server/base/version.h"
#include "server/check_start.h"
#include "server/config/server_config.h"
#include "server/ledger/backup.h"
#include "server/ledger/maintenance.h"
#include "server/process.h"
#include "server/serve.h"
#include "server/telemetry/log.h"

namespace tokenbroker {
namespace {

// What a command that is not a start prints: `done`, or its error; the exit code.
int Finish(const absl::Status& status, const std::string& done) {
  if (!status.ok()) {
    std::fprintf(stderr, "tokenbrokerd: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  std::printf("%s\n", done.c_str());
  return 0;
}

int Fork(const ServerConfig& config, const std::string& name) {
  SystemRandom random;
  const absl::StatusOr<int> rows = ForkLedger(config.sqlite_file, name, EventLoop().Now(), random);
  return Finish(rows.status(), absl::StrCat(config.sqlite_file, " belongs to broker \"", name,
                                            "\" now: ", rows.value_or(0), " open rows closed"));
}

int Backup(const ServerConfig& config, const std::string& file) {
  const absl::StatusOr<std::int64_t> tokens = BackupLedger(config.sqlite_file, file);
  return Finish(tokens.status(), absl::StrCat(file, " is a backup of ", config.sqlite_file, ": ", tokens.value_or(0),
                                              " tokens, verified"));
}

int MarkRestored(const ServerConfig& config) {
  SystemRandom random;
  const absl::StatusOr<int> rows = GiveUpLooksIn(config.sqlite_file, config.broker, EventLoop().Now(), random);
  return Finish(rows.status(), absl::StrCat(config.sqlite_file, " is marked as restored: ", rows.value_or(0),
                                            " rows that were under way are reported instead of swept"));
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
  std::string backup;
  bool restored = false;
  bool check_config = false;
  app.set_version_flag("--version", std::string("tokenbrokerd ") + kVersion);
  app.add_option("--config", config_file, "The configuration file (YAML)")->required();
  CLI::Option_group* const commands = app.add_option_group("commands", "What is done instead of serving");
  commands->add_flag("--check-config", check_config,
                     "Checks everything that a start checks, prints every error, and exits; changes nothing");
  commands->add_option("--backup-ledger", backup,
                       "Copies the ledger, which a broker may be using, into this new file, verifies it, and exits");
  commands->add_flag(
      "--restored", restored,
      "Once, after a ledger was restored from a backup and before a broker starts: what was under way in "
      "it is reported from then on instead of swept; exits");
  commands->add_option("--fork-ledger", fork,
                       "Writes this broker name into a copy of a ledger, closes its open rows, and exits");
  commands->require_option(0, 1);
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
  if (!backup.empty()) return Backup(*config, backup);
  if (restored) return MarkRestored(*config);
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

// NOLINTNEXTLINE(bugprone-exception-escape): one that nobody expects ends the process.
int main(int argc, char** argv) { return tokenbroker::Main(argc, argv); }
