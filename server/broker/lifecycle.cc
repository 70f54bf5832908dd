#include "server/broker/lifecycle.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "server/base/error.h"
#include "server/broker/permits.h"
#include "server/broker/steady_clock.h"
#include "server/broker/unreachable.h"
#include "server/broker/upstream_clock.h"
#include "server/domain/expiry.h"
#include "server/domain/marker.h"
#include "server/domain/scope.h"

namespace tokenbroker {
namespace {

constexpr int kClaim = 64;
// The longest nap. A wall clock may step while we sleep on one that does not.
constexpr Duration kLongestNap = seconds(1);
// While enough rows wait for their shares, the ledger is asked as often as this for those of other callers and targets.
constexpr Duration kClaimEvery = milliseconds(100);
constexpr Duration kCountEvery = seconds(10);
// A ledger with millions of rows is counted less often: no more than one part in so many of the time is spent on it.
constexpr int kCountShare = 500;
constexpr Duration kReadFor = seconds(30);
// While the ledger cannot be written: the pause between two deletions of one token, and between two log lines.
constexpr Duration kRetryUnrecorded = minutes(1);
constexpr int kMaxUnrecorded = 256;  // Such deletions at a time.
constexpr Duration kSkewToWarnOf = seconds(5);
// A sweep that GitLab rejects is tried again at growing intervals.
constexpr Duration kFirstSweepInterval = seconds(30);
constexpr Duration kLongestSweepInterval = hours(1);

UpstreamQuery QueryFor(const Token& token, const std::string& marker) {
  UpstreamQuery query;
  query.target = token.target;
  query.user_id = token.target.kind == TargetKind::kUser ? token.target.id : 0;
  query.search = marker;
  query.created_after = token.create_time - kSearchBack;
  return query;
}

// GitLab's date of what the row's POST made, or asked for if its response was lost (the guard of UpstreamDateFor is the
// same for every skew under which tokens are made).
std::optional<Date> UpstreamDateOf(const Token& token) {
  if (token.upstream_id != 0) return token.upstream_expire_date;
  return UpstreamDateFor(token.expire_time, Duration(0));
}

std::vector<MadeUpstream> WithMarker(const std::vector<UpstreamToken>& list, const std::string& marker) {
  std::vector<MadeUpstream> found;
  for (const UpstreamToken& each : list) {
    if (each.revoked || !EndsInMarker(each.name, marker)) continue;
    found.push_back({each.id, each.user_id, each.name, each.expires_at});
  }
  return found;
}

}  // namespace

Task<void> Lifecycle::Run(Event stop) {
  stop_ = stop;
  while (!stop.is_set()) {
    wake_ = Event(parts_.executor);
    nap_end_ = WallTime::max();
    parts_.steady_clock->Compare();
    CountTokensIfDue();
    if (rows_.is_full()) {  // Work() wakes us when it ends.
      co_await wake_.Wait(parts_.clock, parts_.clock.Boot() + kLongestNap);
      continue;
    }
    if (rows_.has_enough() && parts_.clock.Boot() < next_claim_) {
      co_await wake_.Wait(parts_.clock, next_claim_);
      continue;
    }
    next_claim_ = parts_.clock.Boot() + kClaimEvery;
    absl::Status bounded = co_await BoundWaitsIfAsked();
    if (!bounded.ok()) {
      co_await DeleteUnrecorded(stop, std::move(bounded));
      continue;
    }
    absl::StatusOr<std::vector<TokenRecord>> due = co_await parts_.ledger.ClaimDue(kClaim);
    if (!due.ok()) {
      co_await DeleteUnrecorded(stop, due.status());
      continue;
    }
    for (TokenRecord& record : *due) rows_.Add(std::move(record));
    StartRows();
    if (due->size() == static_cast<std::size_t>(kClaim)) continue;
    co_await Pause(stop);
  }
}

Task<absl::Status> Lifecycle::BoundWaitsIfAsked() {
  if (!std::exchange(bound_waits_, false)) co_return absl::OkStatus();
  absl::Status bounded = co_await parts_.ledger.BoundWaits();
  if (!bounded.ok()) bound_waits_ = true;
  co_return bounded;
}

Task<void> Lifecycle::DeleteUnrecorded(Event stop, absl::Status why) {
  const BootTime began = parts_.clock.Boot();
  if (began >= next_failure_line_) {
    next_failure_line_ = began + kRetryUnrecorded;
    parts_.log.Error("due work cannot be claimed: the ledger cannot be written; due tokens are deleted all the same",
                     {{"reason", ReasonOf(why)}, {"error", std::string(why.message())}});
  }
  std::erase_if(tried_, [began](const auto& each) { return each.second + kRetryUnrecorded <= began; });
  std::optional<DuePosition> after;
  do {
    absl::StatusOr<DueList> due = co_await parts_.ledger.ListDue(after, kClaim);
    if (!due.ok()) break;
    for (TokenRecord& record : due->rows) {
      if (unrecorded_ >= kMaxUnrecorded) break;  // The rest is found again in a second.
      if (record.token.upstream_id == 0 || !tried_.emplace(record.token.id, began).second) continue;
      ++unrecorded_;
      scope_.Spawn(DeleteAtGitLab(std::move(record.token)));
    }
    after = due->next;
  } while (after.has_value() && unrecorded_ < kMaxUnrecorded && !stop.is_set());
  co_await stop.Wait(parts_.clock, began + kLongestNap);
}

Task<void> Lifecycle::DeleteAtGitLab(Token token) {
  const bool deleted = co_await undertaker_.DeleteOnly(std::move(token));
  parts_.metrics.DeletedUnrecorded(deleted);
  --unrecorded_;
}

// Sleeps until something is due, somebody wakes us, or we stop.
Task<void> Lifecycle::Pause(Event stop) {
  const absl::StatusOr<std::optional<WallTime>> next = co_await parts_.ledger.NextDue();
  Duration nap = kLongestNap;
  if (next.ok() && next->has_value()) {
    nap = std::clamp<Duration>(**next - parts_.ledger.Now(), milliseconds(1), kLongestNap);
  }
  if (stop.is_set()) co_return;
  nap_end_ = parts_.ledger.Now() + nap;
  co_await wake_.Wait(parts_.clock, parts_.clock.Boot() + nap);
}

void Lifecycle::StartRows() {
  if (stop_.is_set()) return;
  const auto is_held_back = [this](const std::string& target) { return parts_.slots.IsHeldBack(target); };
  while (std::optional<TokenRecord> record = rows_.Start(parts_.ledger.Now(), is_held_back)) {
    scope_.Spawn(Work(*std::move(record)));
  }
}

Task<void> Lifecycle::Work(TokenRecord record) {
  const TokenId id = record.token.id;
  if (record.pending || IsClosed(record.token.state)) {
    co_await Look(std::move(record));
  } else {
    co_await undertaker_.Attempt(std::move(record));
  }
  rows_.Finish(id);
  StartRows();
  Wake();
}

Task<void> Lifecycle::Look(TokenRecord record) {
  const Token token = record.token;
  // A row that was adopted, or made for a duplicate, has another row's marker in its token's name.
  const std::string marker = MarkerOf(broker_, IdInMarker(token.upstream_name, broker_).value_or(token.id));
  absl::StatusOr<Slots::Slot> permit = co_await parts_.slots.Acquire(CallContext(), PermitFor(Lane::kLook, token));
  if (!permit.ok()) co_return;  // The claim ends by itself, then it is due again.
  const WallTime began = parts_.ledger.Now();
  UpstreamQuery query = QueryFor(token, marker);
  const CallContext call(parts_.clock.Boot() + kReadFor);
  absl::StatusOr<std::vector<UpstreamToken>> list = co_await parts_.gitlab.ListTokens(call, std::move(query));
  permit->Release();
  // GitLab knows no such user: nothing of an ended row's is left.
  const bool has_ended = IsClosed(token.state) && token.state != TokenState::kAbandoned;
  if (has_ended && token.target.kind == TargetKind::kUser && absl::IsNotFound(list.status())) {
    list = std::vector<UpstreamToken>();
  }
  // What the POST made, if it made anything, has ended by GitLab's date; a descendant of a self-extending token may be
  // live.
  const bool may_have_descendants = has_ended && AnySelfExtending(token.scopes);
  const std::optional<Date> date = UpstreamDateOf(token);
  if (!list.ok() && !may_have_descendants && date.has_value() && IsPastUpstreamDate(parts_, *date)) {
    list = std::vector<UpstreamToken>();
  }
  if (!list.ok()) {
    co_await RecordFailedSweep(std::move(record), list.status());
    co_return;
  }
  std::vector<MadeUpstream> found = WithMarker(*list, marker);
  parts_.metrics.Looked(found.empty() ? "nothing" : "found");
  if (!found.empty()) {
    parts_.log.Warn("found what a lost answer left behind", {{"token", token.id},
                                                             {"tokens", static_cast<std::int64_t>(found.size())},
                                                             {"late", token.state == TokenState::kAbandoned}});
    if (token.state == TokenState::kAbandoned) {
      for (std::size_t i = 0; i < found.size(); ++i) parts_.metrics.LateOrphan();
    }
  }
  // By a clock that was just set the row may be younger than it seems: what a POST that is still under way makes must
  // not be missed by the sweep that closes it.
  const Duration left = parts_.steady_clock->LeftOf(settle_);
  if (record.pending && found.empty() && left > Duration(0) && LookMayClose(token.create_time, settle_, began)) {
    (void)co_await parts_.ledger.RecordAttempt(token.id, parts_.ledger.Now() + left, /*parked=*/false,
                                               "the clock has not been steady for as long");
    co_return;
  }
  const absl::StatusOr<std::vector<TokenId>> rows =
      co_await parts_.ledger.RecordLook(token.id, began, std::move(found));
  if (!rows.ok()) {
    parts_.log.Warn("look not recorded", {{"token", token.id}, {"error", std::string(rows.status().message())}});
  }
  // What was found is REVOKING and due now: the next claim has it.
}

// What GitLab rejects now, it rejects for long: a deleted project, a credential that lost its rights.
Task<void> Lifecycle::RecordFailedSweep(TokenRecord record, absl::Status why) {
  const TokenId& id = record.token.id;
  parts_.metrics.Looked("failed");
  parts_.log.Warn("sweep failed", {{"token", id},
                                   {"attempts", record.attempts + 1},
                                   {"reason", ReasonOf(why)},
                                   {"error", std::string(why.message())}});
  if (IsUnreachable(why)) co_return;  // The claim ends by itself, then the row is due again.
  const Duration interval = std::min<Duration>(
      kFirstSweepInterval * (std::int64_t{1} << std::clamp(record.attempts, 0, 7)), kLongestSweepInterval);
  const absl::Status recorded = co_await parts_.ledger.RecordAttempt(id, parts_.ledger.Now() + interval,
                                                                     /*parked=*/true, std::string(why.message()));
  if (!recorded.ok()) {
    parts_.log.Warn("sweep not recorded", {{"token", id}, {"error", std::string(recorded.message())}});
  }
}

void Lifecycle::CountTokensIfDue() {
  if (counting_ || parts_.clock.Boot() < next_count_) return;
  counting_ = true;
  scope_.Spawn(CountTokens());
}

Task<void> Lifecycle::CountTokens() {
  const BootTime began = parts_.clock.Boot();
  const absl::StatusOr<Ledger::Counts> counts = co_await parts_.ledger.Count();
  const Duration took = parts_.clock.Boot() - began;
  next_count_ = began + std::max<Duration>(kCountEvery, took * kCountShare);
  counting_ = false;
  parts_.metrics.SetUpstreamRestored(parts_.ledger.UpstreamRestored());
  ReportSkew();
  parts_.metrics.SetLogLinesDropped(parts_.log.dropped());
  if (!counts.ok()) co_return;
  for (const TokenState state : {TokenState::kPending, TokenState::kActive, TokenState::kRevoking, TokenState::kRevoked,
                                 TokenState::kExpired, TokenState::kAbandoned}) {
    const auto found = counts->by_state.find(state);
    parts_.metrics.SetTokens(NameOf(state), found == counts->by_state.end() ? 0 : found->second);
  }
  parts_.metrics.SetParked(counts->parked);
}

void Lifecycle::ReportSkew() {
  const std::optional<Duration> skew = MeasuredSkew(parts_);
  if (!skew.has_value()) return;
  parts_.metrics.SetUpstreamSkew(*skew);
  const bool is_far = *skew > kSkewToWarnOf || *skew < -kSkewToWarnOf;
  if (is_far && !skew_warned_) {
    parts_.log.Warn("the clocks of GitLab and of the broker differ",
                    {{"skew_s", static_cast<double>(skew->count()) / 1e6}});
  }
  skew_warned_ = is_far;
}

}  // namespace tokenbroker
