#include "server/ledger/refusals.h"

#include <algorithm>
#include <iterator>

#include "server/base/json_writer.h"

namespace tokenbroker {
namespace {

constexpr int kInFullPerMinute = 10;
constexpr std::size_t kWaitingMax = 10'000;

AuditEvent Summary(const std::string& caller, const std::map<std::pair<std::string, std::string>, std::int64_t>& counts,
                   WallTime now) {
  JsonWriter body;
  body.Object([&] {
    for (const auto& [key, count] : counts) body.Field(key.first + ' ' + key.second, count);
  });
  return {now, "refusals", "", caller, body.Take()};
}

AuditEvent InFull(const Refusal& refusal, WallTime now) {
  JsonWriter body;
  body.Object([&] {
    body.Field("method", refusal.method);
    body.Field("reason", refusal.reason);
    body.Field("detail", refusal.detail);
    body.Field("policy", refusal.policy_version);
    if (!refusal.decision_id.empty()) body.Field("decision_id", refusal.decision_id);
    if (!refusal.would_have.empty()) body.Field("would_have", refusal.would_have);
    if (!refusal.closest.empty()) body.Field("closest", refusal.closest);
    if (!refusal.request.empty()) body.Raw("request", refusal.request);
  });
  return {now, "refusal", "", refusal.caller, body.Take()};
}

}  // namespace

bool Refusals::Note(const Refusal& refusal, Instant now) {
  const std::lock_guard lock(mutex_);
  Minute& minute = minutes_[refusal.caller];
  if (now.boot >= minute.end) {  // The next one begins.
    if (!minute.more.empty()) waiting_.push_back(Summary(refusal.caller, minute.more, now.wall));
    minute = Minute();
  }
  if (minute.in_full == 0 && minute.more.empty()) minute.end = now.boot + minutes(1);
  if (minute.in_full < kInFullPerMinute && waiting_.size() < kWaitingMax) {
    ++minute.in_full;
    waiting_.push_back(InFull(refusal, now.wall));
    return true;
  }
  ++minute.more[{refusal.method, refusal.reason}];
  return false;
}

std::vector<AuditEvent> Refusals::Take(Instant now, bool last) {
  const std::lock_guard lock(mutex_);
  std::vector<AuditEvent> events = std::exchange(waiting_, {});
  for (auto it = minutes_.begin(); it != minutes_.end();) {
    if (now.boot < it->second.end && !last) {
      ++it;
      continue;
    }
    if (!it->second.more.empty()) events.push_back(Summary(it->first, it->second.more, now.wall));
    it = minutes_.erase(it);
  }
  return events;
}

void Refusals::Return(std::vector<AuditEvent> events) {
  const std::lock_guard lock(mutex_);
  events.insert(events.end(), std::move_iterator(waiting_.begin()), std::move_iterator(waiting_.end()));
  events.resize(std::min(events.size(), kWaitingMax));
  waiting_ = std::move(events);
}

bool Refusals::HasDue(BootTime now) const {
  const std::lock_guard lock(mutex_);
  return !waiting_.empty() || std::any_of(minutes_.begin(), minutes_.end(), [now](const auto& entry) {
    return !entry.second.more.empty() && now >= entry.second.end;
  });
}

}  // namespace tokenbroker
