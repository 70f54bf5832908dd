#pragma once
// The way from a process to GitLab, and its weather. GitLab itself is a FakeGitLab that keeps the truth; what a process
// hears of it may be late, wrong or nothing, and what it asks for may be carried out later, twice or never.

#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "server/base/manual_loop.h"
#include "server/gitlab/fake_gitlab.h"
#include "server/gitlab/gitlab.h"
#include "tests/sim/draw.h"
#include "tests/sim/process.h"

namespace tokenbroker::sim {

// How often in a hundred.
struct Weather {
  bool down = false;            // No connection can be made.
  bool project_hidden = false;  // The issuer has lost its membership: 404 for whatever belongs to the project.
  int refused = 0;              // GitLab says no.
  int lost = 0;                 // The request or its answer.
  int late = 0;                 // A POST is carried out after its answer was given up: after up to two hours.
  int twice = 0;                // Something on the way sends a POST again.
  int slow = 0;                 // The answer takes up to a minute.
  int wrong = 0;                // A 201 that is not what was asked for.
  bool holders_rotate = false;  // Whoever holds a self-extending token uses it between our DELETE and our look.
};

// What GitLab and the network are to all processes.
struct Sky {
  Sky(ManualLoop& the_world, Draw& the_draw) : world(the_world), draw(the_draw), gitlab(the_world) {}

  // Does `act` in the world, whatever becomes of the process that wanted it.
  void Later(Duration in, std::function<void()> act);

  ManualLoop& world;
  Draw& draw;
  FakeGitLab gitlab;
  Weather weather;
  std::set<std::int64_t> twins;           // Second tokens of POSTs whose first answer was heard.
  std::function<void(std::string)> note;  // Into the trace.
  std::vector<std::unique_ptr<Clock::Timer>> later;
};

// One process's adapter.
class Upstream final : public GitLab {
 public:
  Upstream(Sky& sky, Process& process, const Host& host) : sky_(sky), process_(process), host_(host) {}

  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override;
  Task<Ended<Deleted>> Revoke(CallContext call, UpstreamRef ref) override;
  Task<absl::StatusOr<std::optional<UpstreamToken>>> GetToken(CallContext call, UpstreamRef ref) override;
  Task<absl::StatusOr<bool>> ConfirmNotFound(CallContext call, UpstreamRef ref) override;
  Task<absl::StatusOr<std::vector<UpstreamToken>>> ListTokens(CallContext call, UpstreamQuery query) override;
  Task<absl::StatusOr<TargetFacts>> Resolve(CallContext call, Target target) override;
  Task<absl::StatusOr<ResolvedTarget>> TargetOf(CallContext call, std::string instance, std::int64_t user_id) override;
  Task<absl::StatusOr<IssuerFacts>> CheckIssuer(CallContext call) override;
  std::optional<UpstreamTime> Time() const override { return sky_.gitlab.Time(); }

 private:
  // Some milliseconds on the way. Afterwards: whether the request arrives.
  Task<absl::Status> Travel();
  bool IsHidden(TargetKind kind) const { return sky_.weather.project_hidden && kind == TargetKind::kProject; }

  Sky& sky_;
  Process& process_;
  const Host& host_;
};

}  // namespace tokenbroker::sim
