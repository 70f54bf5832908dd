#include "server/broker/targets.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

constexpr Duration kAbsenceMaxAge = seconds(10);
// What has just been asked for is fresh, also where nothing is to be remembered.
constexpr Duration kLeastAge = seconds(1);
// To ask again for a target that was found within this time maps nothing.
constexpr Duration kKnownFor = hours(1);
constexpr int kResolutionsPerMinute = 60;
constexpr std::size_t kCacheMax = 10'000;
constexpr std::size_t kBudgetsMax = 10'000;

}  // namespace

Targets::Key Targets::KeyOf(const Target& target) {
  std::string ref = target.ref;
  std::transform(ref.begin(), ref.end(), ref.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return {target.instance, target.kind, std::move(ref)};
}

const absl::StatusOr<TargetFacts>* Targets::Find(const Key& key) const {
  const auto cached = cache_.find(key);
  if (cached == cache_.end()) return nullptr;
  const Entry& entry = cached->second;
  const Duration max_age = entry.facts.ok() ? max_age_ : std::min(max_age_, kAbsenceMaxAge);
  return clock_.Boot() - entry.fetched < max_age ? &entry.facts : nullptr;
}

bool Targets::IsFresh(const Target& target) const {
  const auto cached = cache_.find(KeyOf(target));
  return cached != cache_.end() && clock_.Boot() - cached->second.fetched <= std::max(max_age_, kLeastAge);
}

Task<absl::StatusOr<TargetFacts>> Targets::Resolve(CallContext call, Caller caller, Target target) {
  const Key key = KeyOf(target);
  if (const absl::StatusOr<TargetFacts>* known = Find(key)) co_return *known;
  const auto asked = asking_.find(key);
  if (asked != asking_.end()) {
    const Event answered = asked->second;
    const bool in_time = co_await answered.Wait(clock_, call.deadline());
    if (!in_time) co_return call.Check(clock_.Boot());
    // If that look failed, it may have been for reasons of its own: then this one asks itself.
    if (const absl::StatusOr<TargetFacts>* known = Find(key)) co_return *known;
  }
  Event answered(executor_);
  // Of those who ask after a failure, the first is the one that others wait for.
  const bool awaited = asking_.emplace(key, answered).second;
  absl::StatusOr<TargetFacts> facts = co_await Ask(std::move(call), std::move(caller.name), key, std::move(target));
  if (awaited) asking_.erase(key);
  answered.Set();
  co_return facts;
}

Task<absl::StatusOr<TargetFacts>> Targets::Ask(CallContext call, std::string caller, Key key, Target target) {
  const auto cached = cache_.find(key);
  const bool is_known =
      cached != cache_.end() && cached->second.facts.ok() && clock_.Boot() - cached->second.fetched < kKnownFor;
  const absl::Status spent = is_known ? absl::OkStatus() : Spend(caller);
  if (!spent.ok()) co_return spent;
  SlotRequest request = {Lane::kResolve, std::move(caller), SlotTarget(target)};
  const absl::StatusOr<Slots::Slot> permit = co_await slots_.Acquire(call, std::move(request));
  if (!permit.ok()) co_return permit.status();
  absl::StatusOr<TargetFacts> facts = co_await gitlab_.Resolve(call, std::move(target));
  Remember(key, facts);
  co_return facts;
}

absl::Status Targets::Spend(const std::string& caller) {
  const BootTime now = clock_.Boot();
  if (budgets_.size() >= kBudgetsMax) {
    std::erase_if(budgets_, [now](const auto& entry) { return entry.second.window_end <= now; });
  }
  Budget& budget = budgets_[caller];
  if (budget.window_end <= now) budget = {now + minutes(1), kResolutionsPerMinute};
  if (budget.left == 0) {
    return Error(absl::StatusCode::kResourceExhausted, "RESOLUTIONS_EXHAUSTED",
                 "this caller has had GitLab look up 60 targets in the last minute; use numeric ids that were used "
                 "before, or wait")
        .RetryAfter(budget.window_end - now);
  }
  --budget.left;
  return absl::OkStatus();
}

void Targets::Remember(const Key& key, const absl::StatusOr<TargetFacts>& facts) {
  const bool absent = ReasonOf(facts.status()) == "UPSTREAM_NOT_FOUND";
  if (!facts.ok() && !absent) return;
  const Entry entry = {facts, clock_.Boot()};
  const bool is_new = cache_.insert_or_assign(key, entry).second;
  if (is_new) order_.push_back(key);
  if (order_.size() > kCacheMax) {
    cache_.erase(order_.front());
    order_.pop_front();
  }
}

}  // namespace tokenbroker
