#include "server/base/agreed_clock.h"

#include <utility>

namespace tokenbroker {
namespace {

constexpr Duration kCompareEvery = seconds(1);
// Followed without a reference: less than what any promise here depends on.
constexpr Duration kTolerance = milliseconds(500);
// How closely the reference must agree with the host. Its time has whole seconds, and was some time on its way.
constexpr Duration kAgreement = seconds(5);

Duration Size(Duration difference) { return difference < Duration(0) ? -difference : difference; }

Duration BootToWall(const Clock& clock) { return clock.Now().time_since_epoch() - clock.Boot().time_since_epoch(); }

}  // namespace

AgreedClock::AgreedClock(Clock& host) : host_(host), boot_to_wall_(BootToWall(host)) {}

AgreedClock::~AgreedClock() { Stop(); }

WallTime AgreedClock::Now() const {
  const std::lock_guard lock(mutex_);
  return WallTime(host_.Boot().time_since_epoch() + boot_to_wall_);
}

void AgreedClock::Start(Reference reference, Report report) {
  const std::lock_guard lock(gate_->mutex);
  reference_ = std::move(reference);
  report_ = std::move(report);
  CompareLater();
}

void AgreedClock::Stop() {
  const std::lock_guard lock(gate_->mutex);
  gate_->closed = true;
  timer_.reset();
}

void AgreedClock::CompareLater() {
  timer_ = host_.CallAt(host_.Boot() + kCompareEvery, [this, gate = gate_] {
    const std::lock_guard lock(gate->mutex);
    if (gate->closed) return;
    Compare();
    CompareLater();
  });
}

void AgreedClock::Compare() {
  const WallTime ours = Now();
  const Duration difference = BootToWall(host_) - (ours.time_since_epoch() - host_.Boot().time_since_epoch());
  bool follow = Size(difference) <= kTolerance;
  if (!follow) {
    const std::optional<WallTime> reference = reference_();
    follow = reference.has_value() && Size(*reference - (ours + difference)) <= kAgreement &&
             Size(*reference - (ours + difference)) < Size(*reference - ours);
  }
  if (follow) {
    const std::lock_guard lock(mutex_);
    boot_to_wall_ += difference;
  }
  report_(follow ? Duration(0) : difference, follow && Size(difference) > kTolerance ? difference : Duration(0));
}

}  // namespace tokenbroker
