#pragma once
// Everything that chance decides in a run, drawn from one number.

#include <cstdint>
#include <span>
#include <vector>

#include "server/base/clock.h"
#include "server/base/random.h"

namespace tokenbroker::sim {

// SplitMix64: small, and the same everywhere.
class Draw final : public Random {
 public:
  explicit Draw(std::uint64_t seed) : state_(seed) {}

  std::uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31U);
  }

  // From 0 to `below` - 1.
  int Below(int below) { return static_cast<int>(Next() % static_cast<std::uint64_t>(below)); }
  // True this often.
  bool Percent(int percent) { return Below(100) < percent; }
  Duration Between(Duration from, Duration to) {
    return from + Duration(static_cast<std::int64_t>(Next() % static_cast<std::uint64_t>((to - from).count() + 1)));
  }
  template <typename T>
  T Of(const std::vector<T>& choices) {
    return choices[static_cast<std::size_t>(Below(static_cast<int>(choices.size())))];
  }

  void Fill(std::span<std::uint8_t> bytes) override {
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(Next());
  }

 private:
  std::uint64_t state_;
};

}  // namespace tokenbroker::sim
