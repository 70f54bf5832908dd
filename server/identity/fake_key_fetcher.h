#pragma once
// Testonly: keys from the hand of the test.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/base/error.h"
#include "server/base/executor.h"
#include "server/identity/key_fetcher.h"

namespace tokenbroker {

// What the fetcher answers, and what it was asked. Of one thread alone.
struct FakeKeySource {
  absl::StatusOr<std::string> answer = std::string();
  bool hold = false;  // Keeps fetches waiting until Release.
  int fetches = 0;
  int rediscoveries = 0;
  int in_flight = 0;
  int most_in_flight = 0;
  std::vector<KeyFetcher::Done> held;

  void FailWith(std::string_view why) { answer = Error(absl::StatusCode::kUnavailable, "FETCH_FAILED", why); }
  void Release() {
    hold = false;
    for (KeyFetcher::Done& done : std::exchange(held, {})) {
      --in_flight;
      done(answer);
    }
  }
};

class FakeKeyFetcher final : public KeyFetcher {
 public:
  FakeKeyFetcher(std::shared_ptr<FakeKeySource> source, Executor& executor)
      : source_(std::move(source)), executor_(executor) {}

  void Fetch(bool rediscover, Done done) override {
    ++source_->fetches;
    if (rediscover) ++source_->rediscoveries;
    source_->most_in_flight = std::max(source_->most_in_flight, ++source_->in_flight);
    source_->held.push_back(std::move(done));
    if (source_->hold) return;
    executor_.Post([source = source_] {
      if (!source->hold) source->Release();
    });
  }

 private:
  const std::shared_ptr<FakeKeySource> source_;
  Executor& executor_;
};

}  // namespace tokenbroker
