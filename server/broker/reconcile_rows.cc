// The second half of a walk: ACTIVE rows that no list has shown, each by id, and the targets of all of them.

#include <algorithm>
#include <set>
#include <utility>

#include "server/base/error.h"
#include "server/broker/descendants.h"
#include "server/broker/made_of.h"
#include "server/broker/permits.h"
#include "server/broker/reconcile.h"
#include "server/broker/steady_clock.h"
#include "server/domain/scope.h"

namespace tokenbroker {
namespace {

constexpr int kRowsAtOnce = 100;

Target AsWritten(const ResolvedTarget& target) { return {target.instance, target.kind, std::to_string(target.id)}; }

}  // namespace

Task<absl::Status> Reconciler::CheckUnseen(std::shared_ptr<Walk> walk) {
  int unproved = 0;  // They stay at the head of the line.
  for (;;) {
    const absl::StatusOr<std::vector<TokenRecord>> rows =
        co_await parts_.ledger.ListUnseen(walk->began, unproved, kRowsAtOnce);
    if (!rows.ok()) co_return rows.status();
    for (const TokenRecord& row : *rows) {
      const std::string what = "the row " + row.token.id;
      if (IsWaiting(*walk, what)) {
        ++unproved;
        continue;
      }
      const absl::StatusOr<bool> settled = co_await CheckRow(walk, row.token);
      if (settled.ok()) {
        Answered(*walk, what);
      } else {
        const absl::Status skipped = Skip(*walk, what, settled.status());
        if (!skipped.ok()) co_return skipped;
      }
      if (!settled.ok() || !*settled) ++unproved;
    }
    if (rows->size() < static_cast<std::size_t>(kRowsAtOnce)) break;
  }
  parts_.metrics.SetReconcileUnproved(unproved);
  co_return absl::OkStatus();
}

Task<absl::StatusOr<bool>> Reconciler::CheckRow(std::shared_ptr<Walk> walk, Token token) {
  const WallTime asked = parts_.ledger.Now();
  const absl::StatusOr<std::optional<UpstreamToken>> seen = co_await Ask(walk, token);
  // What the issuer may not see must not end the walk for all others.
  if (absl::IsFailedPrecondition(seen.status())) co_return false;
  if (!seen.ok()) co_return seen.status();
  Proof proof = Proof::kAbsent;
  if (!seen->has_value()) {
    if (!parts_.steady_clock->HasSettled(token.create_time, options_.settle)) co_return false;
    const absl::StatusOr<bool> absent = co_await IsAbsent(walk, token);
    if (!absent.ok() || !*absent) co_return absent;
  } else if ((*seen)->name != token.upstream_name) {
    proof = Proof::kAnotherToken;
  } else if ((*seen)->revoked) {
    proof = Proof::kSeenRevoked;
  } else if (!(*seen)->active) {
    proof = Proof::kUpstreamMidnight;
  } else {
    std::vector<SeenToken> alive(1, SeenOf(**seen, token.id));
    const absl::StatusOr<std::vector<Stranger>> noted =
        co_await parts_.ledger.RecordSeen(options_.instance, std::move(alive), asked);
    if (!noted.ok()) co_return noted.status();
    co_return true;
  }
  const bool self_extending = AnySelfExtending(token.scopes);
  const absl::StatusOr<bool> living = co_await HasLiveDescendant(walk, token);
  if (!living.ok()) {
    if (EndsWalk(living.status())) co_return living.status();
    // Where the list cannot be made, GitLab's end closes the row all the same, unless the token extends itself.
    if (self_extending || proof != Proof::kUpstreamMidnight) co_return living.status();
  } else if (*living) {
    if (self_extending) co_return false;  // Reported by the list; the row ends with its descendants at expire_time.
    const absl::StatusOr<Token> ending =
        co_await parts_.ledger.StartRevoking(token.id, RevokeReason::kUpstream, std::nullopt);
    if (!ending.ok()) co_return ending.status();
    parts_.metrics.ReconcileFound("dead");
    parts_.log.Warn("token revoked at GitLab has a live descendant", {{"token", token.id}, {"caller", token.owner}});
    lifecycle_.Wake();
    co_return true;
  }
  const absl::StatusOr<Token> dead = co_await parts_.ledger.RecordDeath(token.id, proof);
  if (!dead.ok()) co_return dead.status();
  parts_.metrics.ReconcileFound("dead");
  parts_.log.Info("token dead at GitLab", {{"token", token.id}, {"caller", token.owner}, {"proof", NameOf(proof)}});
  co_return true;
}

Task<absl::StatusOr<bool>> Reconciler::HasLiveDescendant(std::shared_ptr<Walk> walk, Token token) {
  const absl::Status paid = co_await Spend(std::move(walk), kDescendantRequests);
  if (!paid.ok()) co_return paid;
  const std::set<std::int64_t> no_others;
  SlotRequest request = PermitFor(Lane::kLook, token);
  const absl::StatusOr<std::vector<UpstreamToken>> live =
      co_await ListDescendants(parts_, options_.name, options_.settle, std::move(request), std::move(token), no_others);
  if (!live.ok()) co_return live.status();
  co_return !live->empty();
}

Task<absl::Status> Reconciler::CheckTargets(std::shared_ptr<Walk> walk) {
  std::optional<ResolvedTarget> after;
  for (;;) {
    const absl::StatusOr<std::vector<ResolvedTarget>> targets =
        co_await parts_.ledger.ActiveTargets(after, kTargetsAtOnce);
    if (!targets.ok()) co_return targets.status();
    for (const ResolvedTarget& target : *targets) {
      const std::string what = "the target " + SlotTarget(target);
      if (IsWaiting(*walk, what)) {
        KeepTarget(*walk, target);
        continue;
      }
      const absl::StatusOr<Slots::Slot> permit = co_await Enter(walk, 1, "", SlotTarget(target));
      if (!permit.ok()) co_return permit.status();
      const CallContext call(parts_.clock.Boot() + kReadFor);
      Target written = AsWritten(target);
      const absl::StatusOr<TargetFacts> facts = co_await parts_.gitlab.Resolve(call, std::move(written));
      const bool gone = absl::IsNotFound(facts.status()) || ReasonOf(facts.status()) == "TARGET_MOVED";
      if (!facts.ok() && !gone) {
        const absl::Status skipped = Skip(*walk, what, facts.status());
        if (!skipped.ok()) co_return skipped;
        KeepTarget(*walk, target);
        continue;
      }
      Answered(*walk, what);
      if (facts.ok() && walk->changed.Add(target, *facts) && !targets_->Contains(target)) {
        parts_.log.Warn("a target of live tokens has changed", {{"target", ToText(target)},
                                                                {"target_id", target.id},
                                                                {"now", ToText(facts->target)},
                                                                {"administrator", facts->is_admin},
                                                                {"blocked", !facts->active}});
      }
      if (facts.ok() && facts->target.path == target.path) continue;
      std::string path = facts.ok() ? facts->target.path : "";
      const auto same = [&](const MovedTarget& each) { return each.target == target && each.path == path; };
      if (std::none_of(moved_.begin(), moved_.end(), same)) {
        parts_.log.Warn("a target has moved", {{"target", ToText(target)}, {"target_id", target.id}, {"now", path}});
      }
      walk->moved.push_back(MovedTarget{target, std::move(path)});
    }
    if (targets->size() < static_cast<std::size_t>(kTargetsAtOnce)) break;
    after = targets->back();
  }
  walk->targets_are_whole = true;
  co_return absl::OkStatus();
}

void Reconciler::KeepTarget(Walk& walk, const ResolvedTarget& target) const {
  walk.changed.Keep(target, *targets_);
  for (const MovedTarget& moved : moved_) {
    if (moved.target == target) walk.moved.push_back(moved);
  }
}

}  // namespace tokenbroker
