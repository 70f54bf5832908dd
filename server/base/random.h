#pragma once
// Randomness as a port, so that a test or a simulation can replay it.

#include <cstdint>
#include <span>
#include <string>

#include "server/base/clock.h"

namespace tokenbroker {

// Thread-safe.
class Random {
 public:
  virtual ~Random() = default;
  virtual void Fill(std::span<std::uint8_t> bytes) = 0;
};

// OpenSSL's generator. Ends the process if the system has no randomness to give.
class SystemRandom final : public Random {
 public:
  void Fill(std::span<std::uint8_t> bytes) override;
};

// 26 characters of Crockford's base 32 in lower case (no i, l, o, u): 48 bits of milliseconds, then 80 random bits.
// Ids made in different milliseconds sort by time; no two differ by case alone.
std::string MakeSortableId(WallTime now, Random& random);

// An UUID of version 4 (RFC 9562) in its canonical spelling.
std::string MakeUuid4(Random& random);

}  // namespace tokenbroker
