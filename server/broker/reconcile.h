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

  // Targets that have moved, as of the last walk that came to its end.
  const std::vector<MovedTarget>& moved() const { return moved_; }
  // Targets that are not what they were when their tokens were made, as of the last complete walk; never null.
  std::shared_ptr<const TargetsToday> targets() const { return targets_; }
  // Sets the metric of unknown tokens to what the ledger has.
  Task<void> CountUnknown();

 private:
  static constexpr Duration kReadFor = seconds(30);
  static constexpr int kTargetsAtOnce = 100;

  // What a walk has found so far.
  struct Walk {
    Walk(Event the_stop, WallTime now) : stop(std::move(the_stop)), began(now) {}

    Event stop;
    WallTime began;
    std::map<std::int64_t, std::optional<ResolvedTarget>> targets;  // By user; nothing: GitLab knows none.
    std::vector<MovedTarget> moved;
    TargetsToday changed;
    bool targets_are_whole = false;  // Every target was asked for, or failed.
    int responses = 0;               // Requests that GitLab answered.
    int skipped = 0;                 // Lists, rows and targets whose requests failed.
    int new_unknown = 0;             // Unknown tokens that were not known before.
    // Lists that were read to their ends: unknown tokens of before that were in them and are not any more are
    // forgotten.
    std::vector<std::string> lists_read;
  };

  // Each OK if it came to its end.
  Task<absl::Status> DoWalk(std::shared_ptr<Walk> walk);
  Task<absl::Status> WalkInstance(std::shared_ptr<Walk> walk);
  Task<absl::Status> WalkProjects(std::shared_ptr<Walk> walk);
  Task<absl::Status> CheckUnseen(std::shared_ptr<Walk> walk);
  Task<absl::Status> CheckTargets(std::shared_ptr<Walk> walk);

  // Records what a part of the list `name` showed; what no row explains is judged. False: something could not be
  // judged, so that the list is not read to its end.
  Task<absl::StatusOr<bool>> Take(std::shared_ptr<Walk> walk, std::string name, std::vector<UpstreamToken> list,
                                  WallTime listed);
  // The token as an unknown one, or nothing if it is dealt with. `known`: as it was found before.
  Task<absl::StatusOr<std::optional<UnknownToken>>> JudgeStranger(std::shared_ptr<Walk> walk, UpstreamToken token,
                                                                  Stranger stranger, std::optional<UnknownToken> known);
  // Whether `token` is a second one that the POST of this ACTIVE row made, while the first lives.
  Task<absl::StatusOr<bool>> IsTwin(std::shared_ptr<Walk> walk, UpstreamToken token, Token row);
  Task<absl::StatusOr<std::optional<ResolvedTarget>>> TargetOf(std::shared_ptr<Walk> walk, std::int64_t user_id);
  Task<absl::StatusOr<UnknownToken>> Describe(std::shared_ptr<Walk> walk, UpstreamToken token, Stranger stranger,
                                              std::optional<UnknownToken> known);
  // Keeps them in the ledger; those that are new are logged, in bounded number, and counted.
  Task<absl::Status> RecordUnknown(std::shared_ptr<Walk> walk, std::string list, std::vector<UnknownToken> found);
  // One row by id. False: GitLab's answer proves neither life nor death.
  Task<absl::StatusOr<bool>> CheckRow(std::shared_ptr<Walk> walk, Token token);
  // Whether a token that has ended at GitLab has live descendants, see server/broker/descendants.h.
  Task<absl::StatusOr<bool>> HasLiveDescendant(std::shared_ptr<Walk> walk, Token token);

  // One question to GitLab each.
  Task<absl::StatusOr<std::vector<UpstreamToken>>> List(std::shared_ptr<Walk> walk, int calls, UpstreamQuery query);
  Task<absl::StatusOr<std::optional<UpstreamToken>>> Ask(std::shared_ptr<Walk> walk, Token token);
  Task<absl::StatusOr<bool>> IsAbsent(std::shared_ptr<Walk> walk, Token token);

  // What ends a walk: nothing else would have a response either, or nothing could be recorded.
  static bool EndsWalk(const absl::Status& status);
  // OK if the walk goes on without what failed with `why`, which is counted and asked for again later; else `why`.
  absl::Status Skip(Walk& walk, const std::string& what, const absl::Status& why);
  // True if `what` failed before and is not to be asked for yet; it is counted as skipped.
  bool IsWaiting(Walk& walk, const std::string& what);
  // A request for `what` was answered.
  void Answered(Walk& walk, const std::string& what);
  // A target that was not asked for, or whose request failed: what is known of it stays.
  void KeepTarget(Walk& walk, const ResolvedTarget& target) const;
  // What the lists showed becomes what is listed.
  Task<absl::Status> PublishLists(std::shared_ptr<Walk> walk);
  Task<void> PublishTargets(std::shared_ptr<Walk> walk);

  // Waits until the budget allows `calls` more; CANCELLED if the walk is to stop.
  Task<absl::Status> Spend(std::shared_ptr<Walk> walk, int calls);
  // A permit for requests for `owner` (empty: for nobody) about `target`, after Spend.
  Task<absl::StatusOr<Slots::Slot>> Enter(std::shared_ptr<Walk> walk, int calls, std::string owner, std::string target);

  BrokerParts parts_;
  const BrokerOptions options_;
  const IssuerWatch& issuer_;
  Lifecycle& lifecycle_;
  BootTime next_call_;
  std::vector<MovedTarget> moved_;
  std::shared_ptr<const TargetsToday> targets_ = std::make_shared<TargetsToday>();
  struct Failing {
    int times = 0;
    BootTime next;  // Not asked for before.
  };
  std::map<std::string, Failing> failing_;  // By target or row.
};

}  // namespace tokenbroker
