#pragma once
// The faults of a run: drawn at its beginning, carried out while everybody works.

#include <memory>
#include <vector>

#include "tests/sim/job.h"
#include "tests/sim/server.h"
#include "tests/sim/sky.h"

namespace tokenbroker::sim {

using Servers = std::vector<std::unique_ptr<Server>>;
using Jobs = std::vector<std::unique_ptr<Job>>;

class Storm {
 public:
  Storm(Sky& sky, Draw& draw, Servers& servers, Jobs& jobs, Also also)
      : sky_(sky), draw_(draw), servers_(servers), jobs_(jobs), also_(also) {}

  // Draws the weather and plans what strikes within the returned time. What was planned ends a minute later at the
  // latest, except stops (200 s) and what the run is to live with until Clear.
  Duration Plan();
  // Fine weather from now on; the troubled target stays in trouble, and hosts' clocks may stay wrong.
  void Clear();
  // Clocks that are wrong by more than minutes are right from now on.
  void SetClocksRight();
  // A process start; again until it works.
  void Begin(Server& server);

 private:
  void DrawWeather();
  void Die(Server& server, bool power);
  void PlanDeath(Server& server, Duration length);
  void PlanStop(Server& server, Duration length);
  void PlanDiskFault(Server& server, Duration length);
  void PlanClockStep(Server& server, Duration length);
  // What the ledgers' clocks may follow from now on.
  void NoteClocks();
  void PlanGitLabClockStep(Duration length);
  void PlanRights(Duration length);
  void PlanRemovedMember(Duration length);
  void PlanSwitch(const char* what, bool Weather::*which, Duration length);

  Sky& sky_;
  Draw& draw_;
  Servers& servers_;
  Jobs& jobs_;
  const Also also_;
};

}  // namespace tokenbroker::sim
