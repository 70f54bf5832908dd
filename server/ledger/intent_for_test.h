#pragma once
// Testonly: a DurableIntent without a ledger, for tests of what one is spent on.

#include <utility>

#include "server/ledger/ledger.h"

namespace tokenbroker {

// Never made: only what a Ledger may do is wanted of it.
class IntentForTest : public Ledger {
 public:
  static DurableIntent Make(Token token, BootTime begun) { return MakeIntent(std::move(token), begun); }
};

}  // namespace tokenbroker
