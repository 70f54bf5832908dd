#pragma once
// How many calls of one caller may be at work at a time, so that no caller takes what is there for all.

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace tokenbroker {

// A call's place. Given back when destroyed, or before.
class CallPlace {
 public:
  CallPlace() = default;
  CallPlace(CallPlace&&) noexcept = default;
  CallPlace& operator=(CallPlace&&) noexcept = default;

  void GiveBack() { held_ = nullptr; }
  explicit operator bool() const { return held_ != nullptr; }

 private:
  friend class CallPlaces;
  explicit CallPlace(std::shared_ptr<void> held) : held_(std::move(held)) {}

  std::shared_ptr<void> held_;
};

// Thread-safe. Places may outlive it.
class CallPlaces {
 public:
  explicit CallPlaces(int most) : most_(most), counts_(std::make_shared<Counts>()) {}

  int most() const { return most_; }

  // Without a place, if the caller has all of its own.
  CallPlace Take(std::string_view caller) {
    const std::string name(caller);
    {
      const std::lock_guard lock(counts_->mutex);
      int& count = counts_->by_caller[name];
      if (count >= most_) return {};
      ++count;
      ++counts_->all;
    }
    // Frees no memory of its own: what it points to is who gives back.
    return CallPlace(std::shared_ptr<void>(counts_.get(), [counts = counts_, name](void*) {
      const std::lock_guard lock(counts->mutex);
      const auto found = counts->by_caller.find(name);
      if (--found->second == 0) counts->by_caller.erase(found);
      if (--counts->all == 0) counts->none.notify_all();
    }));
  }

  // Waits until no call is in flight; false if some are after `timeout`.
  bool WaitForNone(std::chrono::microseconds timeout) {
    std::unique_lock lock(counts_->mutex);
    return counts_->none.wait_for(lock, timeout, [this] { return counts_->all == 0; });
  }

 private:
  struct Counts {
    std::mutex mutex;
    std::unordered_map<std::string, int> by_caller;  // Only who has calls.
    int all = 0;
    std::condition_variable none;
  };

  const int most_;
  const std::shared_ptr<Counts> counts_;
};

}  // namespace tokenbroker
