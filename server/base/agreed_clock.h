#pragma once
// The clock of the ledger and of everything that lives by it: the host's wall clock of the start, carried on by the
// boot clock. A step of the host's wall clock (an operator, NTP after a loss, a virtual machine that was resumed)
// changes nothing by itself; it is followed when a reference, GitLab's clock, agrees with the new time, or at the next
// start. Slewing is no step: it moves the boot clock, too.

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "server/base/clock.h"

namespace tokenbroker {

// Thread-safe.
class AgreedClock final : public Clock {
 public:
  // The reference's time now; std::nullopt if it is not known well enough to confirm something.
  using Reference = std::function<std::optional<WallTime>()>;
  // Called about once a second: the host's wall clock minus this one, and by how much this one has just stepped to
  // follow the host's (below 0: back); 0 if it has not.
  using Report = std::function<void(Duration difference, Duration followed)>;

  explicit AgreedClock(Clock& host);
  ~AgreedClock() override;
  AgreedClock(const AgreedClock&) = delete;
  AgreedClock& operator=(const AgreedClock&) = delete;

  WallTime Now() const override;
  BootTime Boot() const override { return host_.Boot(); }
  std::unique_ptr<Timer> CallAt(BootTime when, absl::AnyInvocable<void()> wake) override {
    return host_.CallAt(when, std::move(wake));
  }

  // Compares the clocks once a second from now on, on the host clock's executor, until Stop. Once.
  void Start(Reference reference, Report report);
  // Waits for a comparison that runs: what `reference` and `report` use may go afterwards.
  void Stop();

 private:
  struct Gate {
    std::mutex mutex;
    bool closed = false;
  };

  void Compare();
  void CompareLater();

  Clock& host_;
  mutable std::mutex mutex_;
  Duration boot_to_wall_;  // The agreed wall clock minus the boot clock.
  Reference reference_;
  Report report_;
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  std::unique_ptr<Timer> timer_;
};

}  // namespace tokenbroker
