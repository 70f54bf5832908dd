#pragma once
// Testonly: what every ledger must do, as a library. A store passes it by instantiating the suite with a factory:
//
//   INSTANTIATE_TEST_SUITE_P(Sqlite, LedgerContract, testing::Values(LedgerUnderTest{"Sqlite", MakeSqliteWorld}));

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/base/manual_loop.h"
#include "server/base/random.h"
#include "server/ledger/ledger.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

// A place where a ledger lives, across restarts.
class LedgerWorld {
 public:
  virtual ~LedgerWorld() = default;
  virtual absl::StatusOr<std::unique_ptr<Ledger>> Open(ManualLoop& loop, Random& random, Metrics& metrics,
                                                       Duration settle) = 0;
  // OK if the audit's chains are whole.
  virtual absl::Status VerifyAudit() = 0;
  // Kinds of the events about a token, in order.
  virtual std::vector<std::string> EventsOf(const TokenId& id) = 0;
};

struct LedgerUnderTest {
  std::string name;
  std::function<std::unique_ptr<LedgerWorld>()> make;
};

class LedgerContract : public testing::TestWithParam<LedgerUnderTest> {
 protected:
  void SetUp() override;
  void TearDown() override;
  void Reopen();

  template <typename T>
  T Wait(Task<T> task) {
    return loop_.Finish(std::move(task));
  }

  IntentSpec Spec(const std::string& owner = "ci", Duration ttl = hours(1));
  // A PENDING row.
  Token Begin(IntentSpec spec);
  // An ACTIVE row, and what GitLab said.
  Token Active(const std::string& owner = "ci", Duration ttl = hours(1));
  MadeUpstream Made();
  TokenState StateOf(const TokenId& id) { return Wait(ledger_->Get(id))->token.state; }
  std::vector<TokenId> Claim(int limit = 100);

  static constexpr Duration kSettle = minutes(10);

  ManualLoop loop_;
  SystemRandom random_;
  Metrics metrics_;
  std::unique_ptr<LedgerWorld> world_;
  std::unique_ptr<Ledger> ledger_;
  std::int64_t next_upstream_id_ = 1000;
};

}  // namespace tokenbroker
