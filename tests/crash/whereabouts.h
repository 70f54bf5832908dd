#pragma once
// Which use case the broker is at, told from what passes its ports; and the crash points that are named after it.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "server/base/task.h"
#include "server/ledger/ledger.h"
#include "tests/crash/control.h"

namespace tokenbroker {

// Runs on the broker's executor alone.
class Whereabouts {
 public:
  explicit Whereabouts(Control& control) : control_(control) {}

  // Passes the point "<use>.<step>:<side>", if there is one.
  void At(std::string_view use, std::string_view step, std::string_view side);

  // This token is begun, or is to be ended or looked for: on whose behalf.
  void Begun(const TokenId& id, bool repeat) { by_token_[id] = repeat ? "repeat" : "create"; }
  void Learn(const TokenRecord& record);
  std::string_view Of(const TokenId& id) const;
  // Nothing if the token at GitLab is not being ended.
  std::optional<std::string_view> Of(std::int64_t upstream_id) const;

  // Port calls under way; a claim that found nothing while there was none shows that the broker is idle.
  void Enter() { ++control_.under_way; }
  void Leave() { --control_.under_way; }
  std::uint32_t step() const { return control_.steps; }
  void FoundNothing(std::uint32_t since);

 private:
  Control& control_;
  std::map<TokenId, std::string_view> by_token_;
  std::map<std::int64_t, std::string_view> by_upstream_;
};

// One verb of a port between its two points.
template <typename T>
Task<T> Between(std::shared_ptr<Whereabouts> where, std::string_view use, std::string_view step, Task<T> real) {
  where->Enter();
  where->At(use, step, "before");
  T result = co_await std::move(real);
  where->At(use, step, "after");
  where->Leave();
  co_return result;
}

}  // namespace tokenbroker
