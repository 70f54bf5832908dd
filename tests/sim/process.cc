#include "tests/sim/process.h"

#include <algorithm>
#include <utility>

namespace tokenbroker::sim {

class Process::ProcessTimer final : public Clock::Timer {
 public:
  ProcessTimer(Process* process, std::uint64_t id) : process_(process), id_(id) {}
  ~ProcessTimer() override { process_->timers_.erase(id_); }

 private:
  Process* process_;
  std::uint64_t id_;
};

Process::~Process() { *self_ = nullptr; }

void Process::Post(absl::AnyInvocable<void()> work) {
  queue_.push_back(std::move(work));
  if (!dead_) {
    world_.Post([self = self_] {
      if (*self != nullptr) (*self)->Pump();
    });
  }
}

void Process::Pump() {
  if (dead_ || stopped_ || queue_.empty()) return;
  if (steps_left_ > 0 && --steps_left_ == 0) {
    std::exchange(killed_, nullptr)();
    return;
  }
  absl::AnyInvocable<void()> work = std::move(queue_.front());
  queue_.pop_front();
  work();
}

WallTime Process::Now() const {
  return dead_ ? death_wall_ + (limbo_ - death_boot_) : world_.Now() + host_.clock_offset;
}

BootTime Process::Boot() const { return dead_ ? limbo_ : world_.Boot(); }

std::unique_ptr<Clock::Timer> Process::CallAt(BootTime when, absl::AnyInvocable<void()> wake) {
  const std::uint64_t id = next_timer_++;
  Entry& entry = timers_[id];
  entry.when = when;
  entry.wake = std::move(wake);
  if (!dead_) {
    entry.in_world = world_.CallAt(when, [self = self_, id] {
      if (*self != nullptr) (*self)->Post([self, id] { (*self)->Fire(id); });
    });
  }
  return std::make_unique<ProcessTimer>(this, id);
}

void Process::Fire(std::uint64_t id) {
  const auto it = timers_.find(id);
  if (it == timers_.end()) return;
  absl::AnyInvocable<void()> wake = std::move(it->second.wake);
  timers_.erase(it);
  wake();
}

void Process::Stop(Duration how_long) {
  stopped_ = true;
  go_on_ = world_.CallAt(world_.Boot() + how_long, [self = self_] {
    if (*self == nullptr || (*self)->dead_) return;
    (*self)->stopped_ = false;
    for (std::size_t i = 0; i < (*self)->queue_.size(); ++i) {
      (*self)->world_.Post([self] {
        if (*self != nullptr) (*self)->Pump();
      });
    }
  });
}

void Process::DieAfter(int steps, std::function<void()> killed) {
  steps_left_ = steps;
  killed_ = std::move(killed);
}

void Process::Kill() {
  death_wall_ = Now();
  death_boot_ = limbo_ = Boot();
  dead_ = true;
  killed_ = nullptr;
  go_on_.reset();
  for (auto& [id, entry] : timers_) entry.in_world.reset();
}

bool Process::RunOut(const std::function<bool()>& done) {
  while (!done()) {
    if (!queue_.empty()) {
      absl::AnyInvocable<void()> work = std::move(queue_.front());
      queue_.pop_front();
      work();
      continue;
    }
    if (timers_.empty()) return false;
    const auto earliest = std::min_element(timers_.begin(), timers_.end(), [](const auto& one, const auto& other) {
      return one.second.when < other.second.when;
    });
    limbo_ = std::max(limbo_, earliest->second.when);
    Fire(earliest->first);
  }
  return true;
}

}  // namespace tokenbroker::sim
