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
  // When its commit was known to be durable: a POST must be handed over within kSendWindow of it.
  BootTime committed() const { return committed_; }

 private:
  friend class Ledger;
  DurableIntent(Token token, BootTime committed) : token_(std::move(token)), committed_(committed) {}

  Token token_;
  BootTime committed_;
};

}  // namespace tokenbroker
