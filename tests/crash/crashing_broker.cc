// tokenbrokerd as the crash tests run it: the same wiring, with time that the harness moves, crash points between the
// steps, a disk that loses at a kill what was not synced, and, if asked for, one planted fault. Never shipped.

#include <signal.h>
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "server/config/server_config.h"
#include "server/serve.h"
#include "server/telemetry/log.h"
#include "tests/crash/control.h"
#include "tests/crash/crash_ports.h"
#include "tests/crash/offset_clock.h"
#include "tests/crash/planted.h"
#include "tests/crash/power_cut.h"

namespace tokenbroker {
namespace {

Seams SeamsFor(Control& control, Plant plant) {
  const auto where = std::make_shared<Whereabouts>(control);
  const auto planter = std::make_shared<Planter>(plant);
  Seams seams;
  seams.clock = [&control](Executor& executor, Clock& real) {
    return std::make_unique<OffsetClock>(executor, real, control);
  };
  seams.ledger = [where, planter](std::unique_ptr<Ledger> real, Clock& clock) {
    return planter->Wrap(WithCrashPoints(std::move(real), where), clock);
  };
  seams.gitlab = [where, planter](std::unique_ptr<GitLab> real) {
    return planter->Wrap(WithCrashPoints(std::move(real), where));
  };
  return seams;
}

int Main(int argc, char** argv) {
  CLI::App app("The broker of the crash tests.");
  std::string config_file, control_file, plant_name = "none";
  app.add_option("--config", config_file)->required();
  app.add_option("--control", control_file)->required();
  app.add_option("--plant", plant_name);
  CLI11_PARSE(app, argc, argv);
  absl::StatusOr<ServerConfig> config = LoadServerConfig(config_file);
  const std::optional<Plant> plant = PlantNamed(plant_name);
  if (!config.ok() || !plant.has_value()) {
    std::fprintf(stderr, "crashing_broker: %s\n",
                 config.ok() ? "no such fault" : std::string(config.status().message()).c_str());
    return 1;
  }
  if (*plant == Plant::kNoSettle) config->gitlab.settle = Duration(0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // Nothing of us outlives a harness that is killed.
  LosePowerAtKill(*plant == Plant::kAnswerBeforeSync ? Syncs::kLate : Syncs::kHonest);
  const EndSignals signals;
  const std::unique_ptr<Log> log = MakeStderrLog(config->log_level);
  const absl::Status status = Serve(*config, signals, *log, SeamsFor(MapControl(control_file), *plant));
  if (status.ok()) return 0;
  log->Error("cannot serve", {{"error", std::string(status.message())}});
  return 1;
}

}  // namespace
}  // namespace tokenbroker

// NOLINTNEXTLINE(bugprone-exception-escape): one that nobody expects ends the process.
int main(int argc, char** argv) { return tokenbroker::Main(argc, argv); }
