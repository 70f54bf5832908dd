#include "server/broker/due_rows.h"

#include "server/gitlab/slots.h"

namespace tokenbroker {
namespace {

int CountOf(const std::map<std::string, int>& counts, const std::string& key) {
  const auto found = counts.find(key);
  return found == counts.end() ? 0 : found->second;
}

void Decrement(std::map<std::string, int>& counts, const std::string& key) {
  const auto found = counts.find(key);
  if (--found->second == 0) counts.erase(found);
}

}  // namespace

void DueRows::Add(TokenRecord record) {
  const TokenId id = record.token.id;
  if (in_flight_.contains(id)) return;
  const auto known = waiting_.find(id);
  if (known != waiting_.end()) {
    known->second.record = std::move(record);  // Claimed again: the newer claim lasts longer.
    return;
  }
  if (waiting_.size() >= kMaxWaiting) return;
  queues_[{record.token.owner, SlotTarget(record.token.target)}].push_back(id);
  waiting_.emplace(id, Waiting{std::move(record), next_number_++});
}

std::optional<TokenRecord> DueRows::Start(WallTime now,
                                          const std::function<bool(const std::string& target)>& is_held_back) {
  if (is_full()) return std::nullopt;
  auto first = queues_.end();
  for (auto queue = queues_.begin(); queue != queues_.end();) {
    const auto& [caller, target] = queue->first;
    DropLapsed(queue->second, now);
    if (queue->second.empty()) {
      queue = queues_.erase(queue);
      continue;
    }
    const int of_target = CountOf(of_target_, target);
    const bool has_share = CountOf(of_caller_, caller) < kMaxInFlightOfCaller && of_target < kMaxInFlightOfTarget &&
                           (of_target == 0 || !is_held_back(target));
    const auto number = [this](const auto& of) { return waiting_.at(of->second.front()).number; };
    if (has_share && (first == queues_.end() || number(queue) < number(first))) first = queue;
    ++queue;
  }
  if (first == queues_.end()) return std::nullopt;
  const Key key = first->first;
  const TokenId id = first->second.front();
  first->second.pop_front();
  if (first->second.empty()) queues_.erase(first);
  TokenRecord record = std::move(waiting_.at(id).record);
  waiting_.erase(id);
  in_flight_.emplace(id, key);
  ++of_caller_[key.first];
  ++of_target_[key.second];
  return record;
}

void DueRows::Finish(const TokenId& id) {
  const auto row = in_flight_.find(id);
  if (row == in_flight_.end()) return;
  Decrement(of_caller_, row->second.first);
  Decrement(of_target_, row->second.second);
  in_flight_.erase(row);
}

void DueRows::DropLapsed(std::deque<TokenId>& queue, WallTime now) {
  while (!queue.empty()) {
    const auto first = waiting_.find(queue.front());
    if (first->second.record.next_attempt_time.value_or(now) > now) return;
    waiting_.erase(first);
    queue.pop_front();
  }
}

}  // namespace tokenbroker
