#pragma once
// Brings back what happened at GitLab: which tokens were used, revoked or have ended there, which projects have moved,
// and which living tokens bear our tag though no row explains them. It writes facts and, on proof, death; what it
// cannot explain it reports and leaves alone.
//
// One walk, in the order that costs the fewest calls. (1) Where the issuer is an administrator, the whole instance's
// tokens with our tag, a hundred a call, oldest first by created_at; else each project of an ACTIVE row by itself. (2)
// By id, one call each, those ACTIVE rows that (1) did not show. (3) One call for each target of an ACTIVE row: has it
// moved? All of it at the pace of BrokerOptions::reconcile_calls_per_minute and in the lane that is served last.
//
// A list, a row or a target whose requests fail is counted, skipped, and asked for again at growing intervals: one that
// fails for ever hides nothing of the others. What each part found is published when it ends. Only an invalid
// credential, GitLab's general pause, a ledger that fails or a drain ends a walk; so does a GitLab that answers
// nothing.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/base/event.h"
#include "server/base/task.h"
#include "server/broker/broker.h"
#include "server/broker/issuer_watch.h"
#include "server/broker/lifecycle.h"
#include "server/broker/targets_today.h"

namespace tokenbroker {

// Runs on the executor alone.
class Reconciler {
 public:
  Reconciler(BrokerParts parts, BrokerOptions options, const IssuerWatch& issuer, Lifecycle& lifecycle)
      : parts_(parts), options_(std::move(options)), issuer_(issuer), lifecycle_(lifecycle) {}

  // Walks until `stop` is set.
  Task<void> Run(Event stop);

  // As of the last part of a walk that came to its end.
  const Findings& findings() const { return findings_; }
  // Targets that are not what they were when their tokens were made, as of the last complete walk; never null.
  std::shared_ptr<const TargetsToday> targets() const { return targets_; }
  // It was adopted or is being revoked: no longer unknown.
  void Forget(std::int64_t upstream_id);

 private:
  // What a walk has found so far.
  struct Walk {
    Walk(Event the_stop, WallTime now) : stop(std::move(the_stop)), began(now) {}

    Event stop;
    WallTime began;
    std::map<std::int64_t, UnknownToken> unknown;
    std::map<std::int64_t, std::optional<ResolvedTarget>> targets;  // By user; nothing: GitLab knows none.
    std::vector<MovedTarget> moved;
    TargetsToday changed;
    bool targets_are_whole = false;  // Every target was asked for, or failed.
    bool overflowed = false;         // There are more unknown ones than are kept.
    int responses = 0;               // Requests that GitLab answered.
    int skipped = 0;                 // Lists, rows and targets whose requests failed.
    bool lists_are_whole = true;     // No list was skipped: what is not in `unknown` is not unknown any more.
  };

  // Each OK if it came to its end.
  Task<absl::Status> DoWalk(std::shared_ptr<Walk> walk);
  Task<absl::Status> WalkInstance(std::shared_ptr<Walk> walk);
  Task<absl::Status> WalkProjects(std::shared_ptr<Walk> walk);
  Task<absl::Status> CheckUnseen(std::shared_ptr<Walk> walk);
  Task<absl::Status> CheckTargets(std::shared_ptr<Walk> walk);

  // Records what a list showed; what no row explains is judged.
  Task<absl::Status> Take(std::shared_ptr<Walk> walk, std::vector<UpstreamToken> list, WallTime listed);
  Task<absl::Status> JudgeStranger(std::shared_ptr<Walk> walk, UpstreamToken token, Stranger stranger);
  // Whether `token` is a second one that the POST of this ACTIVE row made, while the first lives.
  Task<absl::StatusOr<bool>> IsTwin(std::shared_ptr<Walk> walk, UpstreamToken token, Token row);
  Task<absl::StatusOr<std::optional<ResolvedTarget>>> TargetOf(std::shared_ptr<Walk> walk, std::int64_t user_id);
  Task<absl::Status> Report(std::shared_ptr<Walk> walk, UpstreamToken token, Stranger stranger);
  // One row by id. False: GitLab's answer proves neither life nor death.
  Task<absl::StatusOr<bool>> CheckRow(std::shared_ptr<Walk> walk, Token token);
  // Whether a token that has ended at GitLab has live descendants, see server/broker/descendants.h.
  Task<absl::StatusOr<bool>> HasLiveDescendant(std::shared_ptr<Walk> walk, Token token);

  // One question to GitLab each.
  Task<absl::StatusOr<std::vector<UpstreamToken>>> List(std::shared_ptr<Walk> walk, int calls, UpstreamQuery query);
  Task<absl::StatusOr<std::optional<UpstreamToken>>> Ask(std::shared_ptr<Walk> walk, Token token);
  Task<absl::StatusOr<bool>> IsAbsent(std::shared_ptr<Walk> walk, Token token);

  // OK if the walk goes on without what failed with `why`, which is counted and asked for again later; else `why`.
  absl::Status Skip(Walk& walk, const std::string& what, const absl::Status& why);
  // True if `what` failed before and is not to be asked for yet; it is counted as skipped.
  bool IsWaiting(Walk& walk, const std::string& what);
  // A request for `what` was answered.
  void Answered(Walk& walk, const std::string& what);
  // A target that was not asked for, or whose request failed: what is known of it stays.
  void KeepTarget(Walk& walk, const ResolvedTarget& target) const;
  void Publish(const Walk& walk);
  Task<void> PublishTargets(std::shared_ptr<Walk> walk);

  // Waits until the budget allows `calls` more; CANCELLED if the walk is to stop.
  Task<absl::Status> Spend(std::shared_ptr<Walk> walk, int calls);
  // A slot of the last lane, after Spend.
  Task<absl::StatusOr<Slots::Slot>> Enter(std::shared_ptr<Walk> walk, int calls);

  BrokerParts parts_;
  const BrokerOptions options_;
  const IssuerWatch& issuer_;
  Lifecycle& lifecycle_;
  BootTime next_call_;
  Findings findings_;
  std::shared_ptr<const TargetsToday> targets_ = std::make_shared<TargetsToday>();
  struct Failing {
    int times = 0;
    BootTime next;  // Not asked for before.
  };
  std::map<std::string, Failing> failing_;  // By target or row.
};

}  // namespace tokenbroker
