#pragma once
// The keys of one issuer by discovery: fetched at the start, refreshed by a schedule of their own, and fetched once
// more when a token names a key that is not among them.
//
// Whoever sends tokens can ask for nothing but that one fetch, at most every 30 s, and cannot hold up the schedule. No
// unknown key id is remembered: there is no memory to fill. A fetch that fails, or whose answer holds no usable key,
// leaves the last good keys in force.

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/identity/key_fetcher.h"
#include "server/identity/key_set.h"
#include "server/identity/key_source.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

// Thread-safe.
class IssuerKeys final : public KeySource {
 public:
  // Begins the first fetch. `refresh` is the time between scheduled fetches, give or take a tenth; after one that
  // failed, 30 s if that is less. All by reference must outlive it.
  IssuerKeys(std::string issuer, Duration refresh, std::unique_ptr<KeyFetcher> fetcher, Clock& clock, Random& random,
             Metrics& metrics, Log& log);
  // Waits for a fetch that is under way to give up.
  ~IssuerKeys() override;
  IssuerKeys(const IssuerKeys&) = delete;
  IssuerKeys& operator=(const IssuerKeys&) = delete;

  std::shared_ptr<const KeySet> Current() const override;

  // Fetches soon, though never twice within 30 s.
  void Want() override;

 private:
  // Outlives the object with callbacks that are under way; `keys` is null once it is gone.
  struct Gate {
    std::mutex mutex;
    IssuerKeys* keys = nullptr;
  };

  // All with the gate's mutex held.
  void Begin(bool scheduled);
  void Refresh();
  void WantAt(BootTime when);
  void FetchWanted();
  // `read`: the keys, ALREADY_EXISTS if the text is the one in force, or what is wrong.
  void End(bool scheduled, absl::StatusOr<KeySet> read, absl::StatusOr<std::string> text);
  void ScheduleRefresh(Duration after);

  // Without it.
  static void Take(const std::shared_ptr<Gate>& gate, bool scheduled, absl::StatusOr<std::string> text);
  static bool IsInForce(Gate& gate, const std::string& text);

  const std::string issuer_;
  const Duration refresh_;
  Clock& clock_;
  Random& random_;
  Metrics& metrics_;
  Log& log_;
  const std::unique_ptr<KeyFetcher> fetcher_;

  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  // Guarded by the gate:
  std::shared_ptr<const KeySet> current_;
  std::string text_;     // That `current_` was read from.
  std::string failure_;  // Of the last fetch; it is logged once. Empty: it was good.
  bool in_flight_ = false;
  BootTime last_begin_{};
  std::unique_ptr<Clock::Timer> refresh_timer_;
  std::unique_ptr<Clock::Timer> want_timer_;  // Null: no fetch is wanted.
};

}  // namespace tokenbroker
