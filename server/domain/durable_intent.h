#pragma once
// The right to send one POST. Minting takes one and uses it up, and only a ledger that has written the intent durably
// can make one: "act before remembering" does not compile.

#include <string>
#include <utility>

#include "server/base/clock.h"
#include "server/domain/token.h"

namespace tokenbroker {

class DurableIntent {
 public:
  DurableIntent(DurableIntent&&) = default;
  DurableIntent& operator=(DurableIntent&&) = default;

  // The row as it was written: PENDING, with its create_time and expire_time.
  const Token& token() const { return token_; }
  // The instant before its transaction began: a POST must be handed over within kSendWindow of it, however long the
  // commit took. The row's sweeps count from a time that is no earlier.
  BootTime begun() const { return begun_; }

 private:
  friend class Ledger;
  DurableIntent(Token token, BootTime begun) : token_(std::move(token)), begun_(begun) {}

  Token token_;
  BootTime begun_;
};

}  // namespace tokenbroker
