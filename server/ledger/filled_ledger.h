#pragma once
// Testonly: ledgers as they look after a long life, in seconds.

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "server/base/clock.h"

namespace tokenbroker {

struct LedgerFilling {
  std::string owner;
  int tokens = 0;
  // Every so manyth is ACTIVE, the others are EXPIRED. They were made a second apart, up to `now`.
  int active_every = 10;
  WallTime now;
  // From `now` until the ACTIVE token number i (from 0) expires.
  std::function<Duration(int i)> active_for = [](int) { return hours(12); };
  // Token number i is one of user 42 + i modulo `users`.
  int users = 1;
};

// GitLab's id of token number i.
std::int64_t FilledUpstreamId(int i);

// Writes the SQLite file at `path`, which is missing as yet: tokens of users from 42 on at the instance "main". About
// 20 s for a million.
absl::Status WriteFilledLedger(const std::string& path, const std::string& broker, const LedgerFilling& filling);

}  // namespace tokenbroker
