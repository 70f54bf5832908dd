#include "server/broker/reconcile.h"

#include <algorithm>
#include <utility>

#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/broker/descendants.h"
#include "server/broker/made_of.h"
#include "server/broker/permits.h"
#include "server/broker/upstream_clock.h"
#include "server/domain/marker.h"

namespace tokenbroker {
namespace {

constexpr Duration kFirstWalkAfter = minutes(1);
constexpr Duration kRetryAfter = minutes(1);
// What fails is left alone for this long, then twice as long, up to the longest.
constexpr Duration kFirstSkip = minutes(10);
constexpr Duration kLongestSkip = hours(6);
constexpr int kPage = 100;  // What GitLab gives at most with one call.
constexpr int kPageMax = 10'000;
// New unknown tokens of a walk that get a log line each. Their number is in a metric.
constexpr int kMostUnknownLines = 20;
// See Ledger::RecordUnknown.
constexpr char kInstanceList[] = "";

UpstreamQuery TaggedQuery(const BrokerOptions& options) {
  UpstreamQuery query;
  query.target.instance = options.instance;
  query.search = MarkerStemOf(options.name);
  return query;
}

// How many calls a list of so many took beyond its first.
int MorePages(std::size_t rows) { return static_cast<int>(rows) / kPage; }

// What is known of a stranger, from its row or from what GitLab keeps.
UnknownToken DescribeStranger(const UpstreamToken& token, const Stranger& stranger, WallTime now) {
  UnknownToken unknown;
  unknown.upstream = MadeOf(token);
  unknown.marked = stranger.marked;
  unknown.kind = stranger.kind;
  unknown.scopes = token.scopes;
  unknown.access_level = token.access_level;
  unknown.create_time = token.created_at;
  unknown.last_used_time = token.last_used_at;
  unknown.find_time = now;
  if (stranger.row.has_value()) {
    const Token& row = stranger.row->token;
    unknown.target = row.target;
    unknown.owner = row.owner;
    unknown.purpose = row.purpose;
    unknown.expire_time = row.expire_time;
  } else if (std::optional<UpstreamDescription> told = ParseUpstreamDescription(token.description)) {
    unknown.owner = std::move(told->caller);
    unknown.purpose = std::move(told->purpose);
    unknown.expire_time = told->expire_time;
  }
  return unknown;
}

}  // namespace

Task<void> Reconciler::Run(Event stop) {
  co_await CountUnknown();
  BootTime next = parts_.clock.Boot() + kFirstWalkAfter;
  while (!co_await stop.Wait(parts_.clock, next)) {
    const BootTime began = parts_.clock.Boot();
    auto walk = std::make_shared<Walk>(stop, parts_.ledger.Now());
    const absl::Status end = co_await DoWalk(walk);
    if (stop.is_set()) co_return;
    if (end.ok()) {
      if (walk->targets_are_whole) moved_ = walk->moved;
      co_await PublishTargets(walk);
      parts_.metrics.ReconcileWalked(walk->began, static_cast<std::int64_t>(moved_.size()));
      parts_.metrics.SetReconcileSkipped(walk->skipped);
      if (walk->new_unknown > kMostUnknownLines) {
        parts_.log.Warn("more tokens with our tag are not explained by the ledger", {{"new", walk->new_unknown}});
      }
      next = std::max(began + options_.reconcile_every, parts_.clock.Boot());
      continue;
    }
    parts_.metrics.ReconcileFailed();
    parts_.log.Warn("reconciliation broke off", {{"reason", ReasonOf(end)}, {"error", std::string(end.message())}});
    next = parts_.clock.Boot() + std::max<Duration>(RetryAfterOf(end).value_or(kRetryAfter), kRetryAfter);
  }
}

Task<void> Reconciler::CountUnknown() {
  const absl::StatusOr<UnknownList> list = co_await parts_.ledger.ListUnknown(options_.instance, 0, 0);
  if (list.ok()) parts_.metrics.SetUnknownTokens(list->total);
}

Task<absl::Status> Reconciler::DoWalk(std::shared_ptr<Walk> walk) {
  if (!issuer_.facts().has_value()) {
    co_return Error(absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", "the issuer's rights are not known yet");
  }
  // Rights may have been lost since they were asked for.
  bool by_project = !issuer_.facts()->is_admin;
  absl::Status end;
  if (!by_project) {
    end = co_await WalkInstance(walk);
    by_project = ReasonOf(end) == "ISSUER_NOT_ALLOWED";
  }
  if (by_project) end = co_await WalkProjects(walk);
  if (!end.ok()) end = Skip(*walk, "the instance's list", end);
  const absl::Status published = co_await PublishLists(walk);
  if (end.ok()) end = published;
  if (end.ok()) end = co_await CheckUnseen(walk);
  if (end.ok()) end = co_await CheckTargets(walk);
  if (end.ok() && walk->skipped > 0 && walk->responses == 0) {
    end = Error(absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", "GitLab answered no request of the walk");
  }
  co_return end;
}

bool Reconciler::EndsWalk(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  return absl::IsCancelled(status) || absl::IsResourceExhausted(status) || reason == "ISSUER_DEAD" ||
         reason == "LEDGER_UNAVAILABLE";
}

absl::Status Reconciler::Skip(Walk& walk, const std::string& what, const absl::Status& why) {
  if (EndsWalk(why)) return why;
  ++walk.skipped;
  Failing& failing = failing_[what];
  const Duration pause =
      std::min<Duration>(kFirstSkip * (std::int64_t{1} << std::min(failing.times, 10)), kLongestSkip);
  if (failing.times == 0) {
    parts_.log.Warn("reconciliation skips what fails",
                    {{"what", what}, {"reason", ReasonOf(why)}, {"error", std::string(why.message())}});
  }
  ++failing.times;
  failing.next = parts_.clock.Boot() + pause;
  return absl::OkStatus();
}

bool Reconciler::IsWaiting(Walk& walk, const std::string& what) {
  const auto failing = failing_.find(what);
  if (failing == failing_.end() || parts_.clock.Boot() >= failing->second.next) return false;
  ++walk.skipped;
  return true;
}

void Reconciler::Answered(Walk& walk, const std::string& what) {
  ++walk.responses;
  failing_.erase(what);
}

Task<absl::Status> Reconciler::PublishLists(std::shared_ptr<Walk> walk) {
  if (walk->responses == 0) co_return absl::OkStatus();
  const absl::StatusOr<std::int64_t> total =
      co_await parts_.ledger.EndPass(options_.instance, walk->began, walk->lists_read);
  if (!total.ok()) co_return total.status();
  parts_.metrics.SetUnknownTokens(*total);
  co_return absl::OkStatus();
}

Task<void> Reconciler::PublishTargets(std::shared_ptr<Walk> walk) {
  targets_ = std::make_shared<TargetsToday>(std::move(walk->changed));
  const absl::StatusOr<std::int64_t> denied = co_await CountDeniedByTarget(parts_, targets_);
  if (denied.ok()) parts_.metrics.SetDeniedByTarget(*denied);
}

Task<absl::Status> Reconciler::WalkInstance(std::shared_ptr<Walk> walk) {
  UpstreamQuery query = TaggedQuery(options_);
  query.whole_instance = true;
  query.limit = kPage;
  bool is_whole = true;
  for (;;) {
    const WallTime listed = parts_.ledger.Now();
    // One more: the list of everybody's tokens is believed only after a proof of the issuer's rights.
    absl::StatusOr<std::vector<UpstreamToken>> list = co_await List(walk, 1 + query.limit / kPage, query);
    if (!list.ok()) co_return list.status();
    Answered(*walk, "the instance's list");
    const bool last = list->size() < static_cast<std::size_t>(query.limit);
    const WallTime newest = list->empty() ? WallTime() : list->back().created_at;
    const absl::StatusOr<bool> taken = co_await Take(walk, kInstanceList, *std::move(list), listed);
    if (!taken.ok()) co_return taken.status();
    is_whole = is_whole && *taken;
    if (last) {
      if (is_whole) walk->lists_read.push_back(kInstanceList);
      co_return absl::OkStatus();
    }
    // The next page begins with this instant again: created_after includes it. More than a page of one instant needs a
    // longer one.
    if (query.created_after == newest && query.limit < kPageMax) {
      query.limit *= 2;
    } else {
      query.limit = kPage;
    }
    query.created_after = newest;
  }
}

Task<absl::Status> Reconciler::WalkProjects(std::shared_ptr<Walk> walk) {
  std::optional<ResolvedTarget> after;
  for (;;) {
    const absl::StatusOr<std::vector<ResolvedTarget>> targets =
        co_await parts_.ledger.ActiveTargets(after, kTargetsAtOnce);
    if (!targets.ok()) co_return targets.status();
    for (const ResolvedTarget& target : *targets) {
      if (target.kind != TargetKind::kProject) continue;  // Only an administrator sees the others' lists.
      const std::string what = "the list of " + SlotTarget(target);
      if (IsWaiting(*walk, what)) continue;
      UpstreamQuery query = TaggedQuery(options_);
      query.target = target;
      const WallTime listed = parts_.ledger.Now();
      absl::StatusOr<std::vector<UpstreamToken>> list = co_await List(walk, 1, std::move(query));
      // A project that is gone or closed to the issuer: its rows are asked for by id.
      if (absl::IsNotFound(list.status()) || absl::IsFailedPrecondition(list.status())) {
        Answered(*walk, what);
        continue;
      }
      if (!list.ok()) {
        const absl::Status skipped = Skip(*walk, what, list.status());
        if (!skipped.ok()) co_return skipped;
        continue;
      }
      Answered(*walk, what);
      const absl::Status paid = co_await Spend(walk, MorePages(list->size()));
      if (!paid.ok()) co_return paid;
      const absl::StatusOr<bool> taken = co_await Take(walk, SlotTarget(target), *std::move(list), listed);
      if (!taken.ok()) co_return taken.status();
      if (*taken) walk->lists_read.push_back(SlotTarget(target));
    }
    if (targets->size() < static_cast<std::size_t>(kTargetsAtOnce)) co_return absl::OkStatus();
    after = targets->back();
  }
}

Task<absl::StatusOr<bool>> Reconciler::Take(std::shared_ptr<Walk> walk, std::string name,
                                            std::vector<UpstreamToken> list, WallTime listed) {
  std::vector<UpstreamToken> ours;
  std::vector<SeenToken> seen;
  for (UpstreamToken& token : list) {
    std::optional<TokenId> marked = IdInMarker(token.name, options_.name);
    if (!marked.has_value() || !token.active) continue;
    seen.push_back(SeenOf(token, *std::move(marked)));
    ours.push_back(std::move(token));
  }
  if (ours.empty()) co_return true;
  absl::StatusOr<std::vector<Stranger>> strangers =
      co_await parts_.ledger.RecordSeen(options_.instance, std::move(seen), listed);
  if (!strangers.ok()) co_return strangers.status();
  std::vector<std::int64_t> ids;
  for (const Stranger& stranger : *strangers) ids.push_back(ours[stranger.index].id);
  if (ids.empty()) co_return true;
  const absl::StatusOr<std::vector<UnknownToken>> found_before =
      co_await parts_.ledger.FindUnknown(options_.instance, std::move(ids));
  if (!found_before.ok()) co_return found_before.status();
  std::map<std::int64_t, UnknownToken> known;
  for (const UnknownToken& each : *found_before) known.emplace(each.upstream.id, each);
  std::vector<UnknownToken> unknown;
  bool is_whole = true;
  for (Stranger& stranger : *strangers) {
    UpstreamToken token = ours[stranger.index];
    const std::string what = "the token " + std::to_string(token.id);
    const auto before = known.find(token.id);
    std::optional<UnknownToken> same;
    if (before != known.end() && before->second.upstream.name == token.name) same = before->second;
    absl::StatusOr<std::optional<UnknownToken>> judged =
        co_await JudgeStranger(walk, std::move(token), std::move(stranger), std::move(same));
    if (judged.ok()) {
      if (judged->has_value()) unknown.push_back(**std::move(judged));
      continue;
    }
    is_whole = false;
    const absl::Status skipped = Skip(*walk, what, judged.status());
    if (!skipped.ok()) co_return skipped;
  }
  const absl::Status recorded = co_await RecordUnknown(walk, std::move(name), std::move(unknown));
  if (!recorded.ok()) co_return recorded;
  co_return is_whole;
}

Task<absl::StatusOr<std::optional<UnknownToken>>> Reconciler::JudgeStranger(std::shared_ptr<Walk> walk,
                                                                            UpstreamToken token, Stranger stranger,
                                                                            std::optional<UnknownToken> known) {
  if (stranger.kind == StrangerKind::kSecond) {
    const absl::StatusOr<bool> twin = co_await IsTwin(walk, token, stranger.row->token);
    if (!twin.ok()) co_return twin.status();
    if (*twin) {
      parts_.log.Warn("GitLab made a token twice", {{"token", stranger.marked}, {"upstream_id", token.id}});
      parts_.metrics.ReconcileFound("twin");
      MadeUpstream made = MadeOf(token);
      const absl::Status kept = co_await parts_.ledger.KeepStray(stranger.marked, std::move(made));
      lifecycle_.Wake();
      if (!kept.ok()) co_return kept;
      co_return std::nullopt;
    }
  }
  absl::StatusOr<UnknownToken> described =
      co_await Describe(walk, std::move(token), std::move(stranger), std::move(known));
  if (!described.ok()) co_return described.status();
  co_return std::optional(*std::move(described));
}

Task<absl::StatusOr<bool>> Reconciler::IsTwin(std::shared_ptr<Walk> walk, UpstreamToken token, Token row) {
  const Duration after = token.created_at - MeasuredSkew(parts_).value_or(Duration(0)) - row.create_time;
  if (after > kDuplicateWithin || after < -kDuplicateWithin) co_return false;
  // A holder who rotates its own token leaves the same marker, but its first one is dead then.
  const absl::StatusOr<std::optional<UpstreamToken>> first = co_await Ask(walk, row);
  if (!first.ok()) co_return first.status();
  co_return first->has_value() && (*first)->active && (*first)->name == row.upstream_name;
}

Task<absl::StatusOr<UnknownToken>> Reconciler::Describe(std::shared_ptr<Walk> walk, UpstreamToken token,
                                                        Stranger stranger, std::optional<UnknownToken> known) {
  UnknownToken unknown = DescribeStranger(token, stranger, parts_.ledger.Now());
  if (!unknown.target.has_value() && known.has_value()) unknown.target = known->target;
  if (!unknown.target.has_value()) {
    absl::StatusOr<std::optional<ResolvedTarget>> target = co_await TargetOf(walk, unknown.upstream.user_id);
    if (!target.ok()) co_return target.status();
    unknown.target = *std::move(target);
  }
  co_return unknown;
}

Task<absl::Status> Reconciler::RecordUnknown(std::shared_ptr<Walk> walk, std::string list,
                                             std::vector<UnknownToken> found) {
  if (found.empty()) co_return absl::OkStatus();
  const absl::StatusOr<std::vector<std::int64_t>> fresh =
      co_await parts_.ledger.RecordUnknown(options_.instance, std::move(list), walk->began, found);
  if (!fresh.ok()) co_return fresh.status();
  for (const UnknownToken& unknown : found) {
    if (std::find(fresh->begin(), fresh->end(), unknown.upstream.id) == fresh->end()) continue;
    parts_.metrics.ReconcileFound("unknown");
    if (++walk->new_unknown > kMostUnknownLines) continue;
    parts_.log.Warn("a token with our tag is not explained by the ledger", {{"upstream_id", unknown.upstream.id},
                                                                            {"name", unknown.upstream.name},
                                                                            {"why", NameOf(unknown.kind)},
                                                                            {"owner", unknown.owner}});
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::optional<ResolvedTarget>>> Reconciler::TargetOf(std::shared_ptr<Walk> walk,
                                                                         std::int64_t user_id) {
  const auto known = walk->targets.find(user_id);
  if (known != walk->targets.end()) co_return known->second;
  const absl::StatusOr<Slots::Slot> permit = co_await Enter(walk, 2, "", "user:" + std::to_string(user_id));
  if (!permit.ok()) co_return permit.status();
  const CallContext call(parts_.clock.Boot() + kReadFor);
  absl::StatusOr<ResolvedTarget> target = co_await parts_.gitlab.TargetOf(call, options_.instance, user_id);
  if (!target.ok() && !absl::IsNotFound(target.status())) co_return target.status();
  std::optional<ResolvedTarget> found;
  if (target.ok()) found = *std::move(target);
  walk->targets[user_id] = found;
  co_return found;
}

Task<absl::Status> Reconciler::Spend(std::shared_ptr<Walk> walk, int calls) {
  const Duration each = Duration(minutes(1)) / options_.reconcile_calls_per_minute;
  const BootTime from = std::max(next_call_, parts_.clock.Boot());
  next_call_ = from + calls * each;
  const bool stopped = co_await walk->stop.Wait(parts_.clock, from);
  if (stopped) co_return absl::CancelledError("the broker drains");
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::vector<UpstreamToken>>> Reconciler::List(std::shared_ptr<Walk> walk, int calls,
                                                                  UpstreamQuery query) {
  std::string about = query.whole_instance ? "" : SlotTarget(query.target);
  const absl::StatusOr<Slots::Slot> permit = co_await Enter(std::move(walk), calls, "", std::move(about));
  if (!permit.ok()) co_return permit.status();
  const CallContext call(parts_.clock.Boot() + kReadFor);
  co_return co_await parts_.gitlab.ListTokens(call, std::move(query));
}

Task<absl::StatusOr<std::optional<UpstreamToken>>> Reconciler::Ask(std::shared_ptr<Walk> walk, Token token) {
  const absl::StatusOr<Slots::Slot> permit = co_await Enter(std::move(walk), 1, token.owner, SlotTarget(token.target));
  if (!permit.ok()) co_return permit.status();
  const CallContext call(parts_.clock.Boot() + kReadFor);
  co_return co_await parts_.gitlab.GetToken(call, RefOf(token));
}

Task<absl::StatusOr<bool>> Reconciler::IsAbsent(std::shared_ptr<Walk> walk, Token token) {
  const absl::StatusOr<Slots::Slot> permit = co_await Enter(std::move(walk), 3, token.owner, SlotTarget(token.target));
  if (!permit.ok()) co_return permit.status();
  const CallContext call(parts_.clock.Boot() + kReadFor);
  co_return co_await parts_.gitlab.ConfirmNotFound(call, RefOf(token));
}

Task<absl::StatusOr<Slots::Slot>> Reconciler::Enter(std::shared_ptr<Walk> walk, int calls, std::string owner,
                                                    std::string target) {
  const absl::Status paid = co_await Spend(std::move(walk), calls);
  if (!paid.ok()) co_return paid;
  SlotRequest request = {Lane::kLook, std::move(owner), std::move(target)};
  co_return co_await parts_.slots.Acquire(CallContext(), std::move(request));
}

}  // namespace tokenbroker
