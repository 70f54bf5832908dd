#pragma once
// A process on a host of the simulated world: its executor and its clock. It can be stopped for a while, as by SIGSTOP,
// and killed between any two pieces of its work. What a killed one still had to do runs out in a limbo of its own,
// where nothing it asks for reaches the world; so its coroutines end, and their frames are freed.

#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/base/manual_loop.h"

namespace tokenbroker::sim {

// What processes of one host share.
struct Host {
  Duration clock_offset{0};  // Of its wall clock from the world's.
};

class Process final : public Executor, public Clock {
 public:
  Process(ManualLoop& world, const Host& host) : world_(world), host_(host) {}
  ~Process() override;

  void Post(absl::AnyInvocable<void()> work) override;
  WallTime Now() const override;
  BootTime Boot() const override;
  std::unique_ptr<Timer> CallAt(BootTime when, absl::AnyInvocable<void()> wake) override;

  // Nothing runs for so long, while the world goes on.
  void Stop(Duration how_long);
  // Once so many pieces of its work have run from now on, `killed` is called instead of the next one; it is to end in
  // Kill.
  void DieAfter(int steps, std::function<void()> killed);
  void Kill();
  bool dead() const { return dead_; }

  // Of a dead one: runs what is left, in a time of its own, until `done`. False if nothing is left and it is not.
  bool RunOut(const std::function<bool()>& done);

 private:
  class ProcessTimer;
  struct Entry {
    BootTime when;
    absl::AnyInvocable<void()> wake;
    std::unique_ptr<Clock::Timer> in_world;
  };

  void Pump();
  void Fire(std::uint64_t id);

  ManualLoop& world_;
  const Host& host_;
  std::shared_ptr<Process*> self_ = std::make_shared<Process*>(this);  // For what the world holds of us.
  std::deque<absl::AnyInvocable<void()>> queue_;
  std::map<std::uint64_t, Entry> timers_;
  std::uint64_t next_timer_ = 0;
  bool stopped_ = false;
  std::unique_ptr<Clock::Timer> go_on_;
  bool dead_ = false;
  BootTime limbo_{};
  WallTime death_wall_;
  BootTime death_boot_{};
  int steps_left_ = -1;
  std::function<void()> killed_;
};

}  // namespace tokenbroker::sim
