#pragma once
// The rows that were claimed from the ledger: which of them are in flight, and which wait because their caller or their
// target has its share in flight already. So rows whose requests hang stop no other caller's and no other target's.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "server/base/clock.h"
#include "server/ledger/ledger.h"

namespace tokenbroker {

// Not thread-safe.
class DueRows {
 public:
  // Enough to use every permit, few enough that what a caller asks for is not far behind.
  static constexpr int kMaxInFlight = 256;
  static constexpr int kMaxInFlightOfCaller = kMaxInFlight / 2;
  static constexpr int kMaxInFlightOfTarget = kMaxInFlight / 4;
  static constexpr std::size_t kEnoughWaiting = 256;
  static constexpr std::size_t kMaxWaiting = 8192;

  // Takes a claimed row. Ignores one that is in flight, and forgets one that would be more than may wait: it is due
  // again when its claim ends.
  void Add(TokenRecord record);

  // The row that waits longest of those that may be started; it is in flight from now on. Forgets rows whose claim has
  // ended by `now`, the ledger's time: they are claimed again. std::nullopt if none may be started.
  // Of a target that is held back (see Slots::IsHeldBack) one row is in flight at a time, as the probe.
  std::optional<TokenRecord> Start(WallTime now, const std::function<bool(const std::string& target)>& is_held_back);

  // A row that was started has been processed.
  void Finish(const TokenId& id);

  // So many wait for their shares that more are of use only for callers and targets that are not among them.
  bool has_enough() const { return waiting_.size() >= kEnoughWaiting; }
  // No more rows can be started, whatever they are about.
  bool is_full() const { return in_flight_.size() >= static_cast<std::size_t>(kMaxInFlight); }

 private:
  using Key = std::pair<std::string, std::string>;  // Caller, target.

  // Takes away what waits first under this key and whose claim has ended.
  void DropLapsed(std::deque<TokenId>& queue, WallTime now);

  std::map<TokenId, Key> in_flight_;
  std::map<std::string, int> of_caller_;  // In flight.
  std::map<std::string, int> of_target_;
  struct Waiting {
    TokenRecord record;
    std::uint64_t number = 0;  // In the order of arrival.
  };
  std::map<TokenId, Waiting> waiting_;
  std::map<Key, std::deque<TokenId>> queues_;  // Of `waiting_`, oldest first; none is empty.
  std::uint64_t next_number_ = 0;
};

}  // namespace tokenbroker
