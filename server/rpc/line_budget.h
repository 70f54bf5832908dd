#pragma once
// A bound on the log lines of one kind that a peer can cause.

#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

#include "server/base/clock.h"

namespace tokenbroker {

// Thread-safe.
class LineBudget {
 public:
  explicit LineBudget(int lines_per_minute) : max_(lines_per_minute) {}

  // The number of lines that were left out before this one, if it may be written; else std::nullopt.
  std::optional<std::int64_t> Take(BootTime now) {
    const std::lock_guard lock(mutex_);
    if (!began_.has_value() || now - *began_ >= minutes(1)) {
      began_ = now;
      lines_ = 0;
    }
    if (lines_ >= max_) {
      ++suppressed_;
      return std::nullopt;
    }
    ++lines_;
    return std::exchange(suppressed_, 0);
  }

 private:
  const int max_;
  std::mutex mutex_;
  std::optional<BootTime> began_;  // The present minute.
  int lines_ = 0;                  // In it.
  std::int64_t suppressed_ = 0;
};

}  // namespace tokenbroker
