#pragma once
// Bounds on the log lines of one kind that a peer can cause.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
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

// A budget for each caller. Thread-safe.
class CallerLineBudgets {
 public:
  explicit CallerLineBudgets(int lines_per_minute) : lines_per_minute_(lines_per_minute) {}

  std::optional<std::int64_t> Take(std::string_view caller, BootTime now) {
    return BudgetOf(std::string(caller))->Take(now);
  }

 private:
  static constexpr std::size_t kMaxCallers = 8192;  // Then all begin anew.

  std::shared_ptr<LineBudget> BudgetOf(const std::string& caller) {
    const std::lock_guard lock(mutex_);
    if (budgets_.size() >= kMaxCallers && !budgets_.contains(caller)) budgets_.clear();
    std::shared_ptr<LineBudget>& budget = budgets_[caller];
    if (budget == nullptr) budget = std::make_shared<LineBudget>(lines_per_minute_);
    return budget;
  }

  const int lines_per_minute_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<LineBudget>> budgets_;
};

}  // namespace tokenbroker
