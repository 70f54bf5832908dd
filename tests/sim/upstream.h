#pragma once
// The way from a process to GitLab, and the adapter at its near end. GitLab itself is a FakeGitLab; what a process
// hears of it may be late, wrong, somebody else's or nothing, and what it asks for may be carried out later, twice or
// never. What the adapter makes of a response follows server/gitlab/answer.h.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/gitlab/gitlab.h"
#include "tests/sim/planted.h"
#include "tests/sim/process.h"
#include "tests/sim/sky.h"

namespace tokenbroker::sim {

// One process's adapter.
class Upstream final : public GitLab {
 public:
  Upstream(Sky& sky, Process& process, std::string server, Plant plant)
      : sky_(sky), process_(process), server_(std::move(server)), plant_(plant) {}

  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override;
  Task<Ended<Deleted>> Revoke(CallContext call, UpstreamRef ref) override;
  Task<absl::StatusOr<std::optional<UpstreamToken>>> GetToken(CallContext call, UpstreamRef ref) override;
  Task<absl::StatusOr<bool>> ConfirmNotFound(CallContext call, UpstreamRef ref) override;
  Task<absl::StatusOr<std::vector<UpstreamToken>>> ListTokens(CallContext call, UpstreamQuery query) override;
  Task<absl::StatusOr<TargetFacts>> Resolve(CallContext call, Target target) override;
  Task<absl::StatusOr<ResolvedTarget>> TargetOf(CallContext call, std::string instance, std::int64_t user_id) override;
  Task<absl::StatusOr<IssuerFacts>> CheckIssuer(CallContext call) override;
  std::optional<UpstreamTime> Time() const override { return time_; }

 private:
  // What became of a request before GitLab did anything about it.
  struct Way {
    enum class End {
      kArrived,
      kNotSent,   // For certain, GitLab never saw it.
      kRejected,  // GitLab says no.
      kNothing,   // No response, or one that says nothing; a change may have been made by another of its kind.
      kForeign,   // Something in front of GitLab says that all is well.
    };
    End end = End::kArrived;
    absl::Status why;  // Of all but kArrived.
  };
  enum class Kind { kPost, kDelete, kGet, kList };

  // Some milliseconds to GitLab, or more.
  Task<Way> Travel(CallContext call, Kind kind, std::optional<ResolvedTarget> target);
  Way Foreign();
  Way Limited();
  // GitLab responds: its clock is known from now on.
  void Respond() { time_ = UpstreamTime{FloorToSecond(sky_.GitLabNow()), process_.Boot()}; }
  static WallTime FloorToSecond(WallTime time);
  bool IsHidden(TargetKind kind) const { return sky_.weather.project_hidden && kind == TargetKind::kProject; }
  // A token that the routes of a credential without an administrator's rights do not show.
  bool IsHiddenByPlant(const UpstreamRef& ref) const;
  void LetHolderRotate(const UpstreamRef& ref);

  Sky& sky_;
  Process& process_;
  const std::string server_;
  const Plant plant_;
  std::optional<UpstreamTime> time_;
  bool admin_when_checked_ = true;
};

}  // namespace tokenbroker::sim
