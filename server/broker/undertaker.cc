#include "server/broker/undertaker.h"

#include <algorithm>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "server/base/error.h"
#include "server/broker/descendants.h"
#include "server/broker/made_of.h"
#include "server/broker/permits.h"
#include "server/broker/steady_clock.h"
#include "server/broker/unreachable.h"
#include "server/broker/upstream_clock.h"
#include "server/domain/expiry.h"
#include "server/domain/scope.h"

namespace tokenbroker {
namespace {

constexpr int kDescendantRounds = 5;
constexpr Duration kReadFor = seconds(30);
constexpr Duration kFirstInterval = seconds(1);
constexpr Duration kLongestParkedInterval = hours(1);
// While GitLab does not answer at all, it is asked often enough to end what is due soon after it is back.
constexpr Duration kLongestUnreachableInterval = seconds(15);

UpstreamRef RefOf(const Token& token, const UpstreamToken& child) { return {token.target, child.id, child.user_id}; }

SlotRequest RequestOf(const Token& token, bool continues) {
  SlotRequest request = PermitFor(Lane::kRevoke, token);
  request.continues = continues;
  return request;
}

absl::Status WhyNot(const Ended<GitLab::Deleted>& end) {
  if (const auto* refused = std::get_if<Refused>(&end)) return refused->why;
  return std::get<Unknown>(end).why;
}

}  // namespace

Task<void> Undertaker::Attempt(TokenRecord record) {
  const auto other = at_work_.find(record.token.id);
  if (other != at_work_.end()) {
    const Event ended = other->second;
    co_await ended.Wait(parts_.clock, kNever);
    co_return;
  }
  Event ended(parts_.executor);
  const TokenId id = record.token.id;
  at_work_.emplace(id, ended);
  absl::StatusOr<Proof> proof = co_await Bury(record.token);
  co_await Record(std::move(record), std::move(proof));
  at_work_.erase(id);
  ended.Set();
}

Task<bool> Undertaker::DeleteOnly(Token token) {
  const absl::StatusOr<bool> another = co_await IsAnother(token);
  if (!another.ok() || *another) co_return another.ok();
  const Ended<GitLab::Deleted> end =
      co_await Delete(token, RefOf(token), /*continues=*/parts_.ledger.UpstreamRestored());
  co_return std::holds_alternative<GitLab::Deleted>(end);
}

Task<Ended<GitLab::Deleted>> Undertaker::Delete(Token token, UpstreamRef ref, bool continues) {
  const absl::StatusOr<Slots::Slot> permit = co_await parts_.slots.Acquire(CallContext(), RequestOf(token, continues));
  if (!permit.ok()) co_return Refused{permit.status()};
  co_return co_await parts_.gitlab.Revoke(CallContext(), std::move(ref));
}

Task<absl::StatusOr<std::optional<UpstreamToken>>> Undertaker::Read(Token token, bool continues) {
  const absl::StatusOr<Slots::Slot> permit = co_await parts_.slots.Acquire(CallContext(), RequestOf(token, continues));
  if (!permit.ok()) co_return permit.status();
  const CallContext call(parts_.clock.Boot() + kReadFor);
  co_return co_await parts_.gitlab.GetToken(call, RefOf(token));
}

Task<absl::StatusOr<bool>> Undertaker::ConfirmNotFound(Token token) {
  const absl::StatusOr<Slots::Slot> permit =
      co_await parts_.slots.Acquire(CallContext(), RequestOf(token, /*continues=*/true));
  if (!permit.ok()) co_return permit.status();
  const CallContext call(parts_.clock.Boot() + kReadFor);
  co_return co_await parts_.gitlab.ConfirmNotFound(call, RefOf(token));
}

Task<absl::StatusOr<Proof>> Undertaker::Bury(Token token) {
  const absl::StatusOr<bool> another = co_await IsAnother(token);
  absl::StatusOr<Proof> proof = Proof::kAnotherToken;
  if (absl::IsNotFound(another.status())) {
    proof = co_await ProveWithoutDelete(token, another.status());
  } else if (!another.ok()) {
    co_return another.status();
  } else if (!*another) {
    const Ended<GitLab::Deleted> end =
        co_await Delete(token, RefOf(token), /*continues=*/parts_.ledger.UpstreamRestored());
    proof = Proof::kDeleted;
    if (!std::holds_alternative<GitLab::Deleted>(end)) proof = co_await ProveWithoutDelete(token, WhyNot(end));
  }
  const bool gitlab_has_ended_it = !AnySelfExtending(token.scopes) && PastUpstreamMidnight(token);
  if (!proof.ok() && !gitlab_has_ended_it) co_return proof;
  if (!proof.ok()) proof = Proof::kUpstreamMidnight;
  const absl::Status descendants = co_await RevokeDescendants(std::move(token), !gitlab_has_ended_it);
  if (!descendants.ok()) co_return descendants;
  co_return proof;
}

Task<absl::StatusOr<bool>> Undertaker::IsAnother(Token token) {
  if (!parts_.ledger.UpstreamRestored()) co_return false;
  const absl::StatusOr<std::optional<UpstreamToken>> seen = co_await Read(token, /*continues=*/false);
  if (!seen.ok()) co_return seen.status();
  if (!seen->has_value()) {
    // What was not compared is not deleted: a replica that lags may hide the token that has this number now.
    co_return Error(absl::StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", "GitLab does not find the token");
  }
  co_return (*seen)->name != token.upstream_name;
}

Task<absl::StatusOr<Proof>> Undertaker::ProveWithoutDelete(Token token, absl::Status why) {
  // A dead issuer or a GitLab that asks for a pause would answer nothing else to the next question.
  if (absl::IsResourceExhausted(why) || ReasonOf(why) == "ISSUER_DEAD") co_return why;
  // Nor does a GitLab that did not respond.
  if (IsUnreachable(why) && parts_.slots.IsHeldBack(SlotTarget(token.target))) co_return why;
  const absl::StatusOr<std::optional<UpstreamToken>> seen = co_await Read(token, !IsUnreachable(why));
  if (!seen.ok()) co_return why;
  if (seen->has_value()) {
    if ((*seen)->revoked) co_return Proof::kSeenRevoked;
    co_return why;
  }
  if (!parts_.steady_clock->HasSettled(token.create_time, settle_)) {
    co_return Error(absl::StatusCode::kUnavailable, "NOT_FOUND_TOO_EARLY",
                    "GitLab does not find the token, which is so young that a replica of GitLab's may not have it yet");
  }
  const absl::StatusOr<bool> absent = co_await ConfirmNotFound(token);
  if (absent.ok() && *absent) co_return Proof::kAbsent;
  if (!absent.ok() && IsUnreachable(absent.status())) co_return absent.status();
  co_return Error(absl::StatusCode::kFailedPrecondition, "DEATH_NOT_PROVED",
                  "GitLab does not find the token, but the issuer cannot prove that it would see it");
}

Task<absl::Status> Undertaker::RevokeDescendants(Token token, bool list_required) {
  // A list that lags may go on to show what is revoked.
  std::set<std::int64_t> revoked;
  std::set<std::int64_t> not_found;
  std::set<std::int64_t> users;
  for (int round = 0; round < kDescendantRounds; ++round) {
    SlotRequest request = RequestOf(token, /*continues=*/true);
    absl::StatusOr<std::vector<UpstreamToken>> live =
        co_await ListDescendants(parts_, broker_, settle_, std::move(request), token, users);
    if (!live.ok()) co_return list_required ? live.status() : absl::OkStatus();
    std::erase_if(*live, [&](const UpstreamToken& each) { return revoked.contains(each.id); });
    if (live->empty()) co_return absl::OkStatus();
    absl::Status failed;
    for (const UpstreamToken& child : *live) {
      parts_.log.Warn("a descendant of a token that ends is live", {{"token", token.id}, {"upstream_id", child.id}});
      users.insert(child.user_id);
      const Ended<GitLab::Deleted> end = co_await Delete(token, RefOf(token, child), /*continues=*/true);
      if (std::holds_alternative<GitLab::Deleted>(end)) {
        revoked.insert(child.id);
        continue;
      }
      const absl::Status why = WhyNot(end);
      // It may be gone by now: the next list says.
      if (absl::IsNotFound(why) && not_found.insert(child.id).second) continue;
      if (failed.ok()) failed = why;
    }
    if (!failed.ok()) co_return failed;
  }
  parts_.metrics.FamilyAlarm();
  parts_.log.Error("a token's descendants are made faster than they can be revoked", {{"token", token.id}});
  co_return Error(absl::StatusCode::kFailedPrecondition, "FAMILY_ALIVE",
                  "the token still had live descendants after five rounds");
}

bool Undertaker::PastUpstreamMidnight(const Token& token) const {
  return token.upstream_expire_date.has_value() && IsPastUpstreamDate(parts_, *token.upstream_expire_date);
}

Task<void> Undertaker::Record(TokenRecord record, absl::StatusOr<Proof> proof) {
  const Token& token = record.token;
  if (proof.ok()) {
    const absl::StatusOr<Token> dead = co_await parts_.ledger.RecordDeath(token.id, *proof);
    if (!dead.ok()) {
      // The row stays REVOKING and comes up again; a second DELETE does no harm.
      parts_.log.Warn("death not recorded", {{"token", token.id}, {"error", std::string(dead.status().message())}});
      co_return;
    }
    parts_.metrics.RevocationAttempted("proved");
    if (token.revoke_reason == RevokeReason::kTtl) {
      parts_.metrics.RevocationProved(parts_.ledger.Now() - token.expire_time);
    }
    parts_.log.Info("token dead", {{"token", token.id},
                                   {"caller", token.owner},
                                   {"reason", NameOf(token.revoke_reason)},
                                   {"proof", NameOf(*proof)}});
    co_return;
  }
  const bool unreachable = IsUnreachable(proof.status());
  const Duration longest = unreachable ? kLongestUnreachableInterval : kLongestParkedInterval;
  // What went before while GitLab did not respond does not count towards the slow interval, see RecordAttempt.
  const int attempts = unreachable || record.parked ? record.attempts : 0;
  Duration interval = kFirstInterval * (std::int64_t{1} << std::clamp(attempts, 0, 12));
  if (const std::optional<Duration> asked = RetryAfterOf(proof.status())) interval = std::max(interval, *asked);
  interval = std::min<Duration>(interval, longest);
  parts_.metrics.RevocationAttempted(unreachable ? "retry" : "parked");
  parts_.log.Warn("token not proved dead", {{"token", token.id},
                                            {"reason", ReasonOf(proof.status())},
                                            {"error", std::string(proof.status().message())},
                                            {"attempts", record.attempts + 1},
                                            {"parked", !unreachable}});
  const absl::Status recorded = co_await parts_.ledger.RecordAttempt(
      token.id, parts_.ledger.Now() + interval, !unreachable, std::string(proof.status().message()));
  if (!recorded.ok()) {
    parts_.log.Warn("attempt not recorded", {{"token", token.id}, {"error", std::string(recorded.message())}});
  }
}

}  // namespace tokenbroker
