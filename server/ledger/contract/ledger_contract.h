#pragma once
// Testonly: what every ledger must do, as a library. A store passes it by instantiating the suite with a factory:
//
//   INSTANTIATE_TEST_SUITE_P(Sqlite, LedgerContract, testing::Values(LedgerUnderTest{"Sqlite", MakeSqliteWorld}));

#include <gtest/gtest.h>

#include <functional>
#include <map>
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
  // OK if each counter of open tokens is their number.
  virtual absl::Status VerifyQuotas() = 0;
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

  // Rows in one state each, by id; made_ has what GitLab made for those that were ACTIVE.
  TokenId PendingRow(const std::string& owner = "ci") { return Begin(Spec(owner)).id; }
  TokenId ActiveRow(const std::string& owner = "ci", Duration ttl = hours(1));
  TokenId RevokingRow(RevokeReason reason = RevokeReason::kPolicy, const std::string& owner = "ci");
  TokenId AbandonedRow();
  TokenRecord Row(const TokenId& id);
  // "ACTIVE", "REVOKING TTL", "PENDING as REVOKING REQUESTED".
  std::string Shown(const TokenId& id) { return Shown(Row(id)); }
  static std::string Shown(const TokenRecord& record);
  // A look that begins now.
  std::vector<TokenId> Look(const TokenId& id, std::vector<MadeUpstream> found = {});
  // Tokens in every state, of three owners and four targets, several to one time; as they are then.
  std::vector<Token> Fill();
  void Bring(const TokenId& id, std::size_t state);
  // What a list has, page by page; no page has more than its limit.
  std::vector<TokenId> AllPages(ListQuery query);
  // The table of transitions: a row in its state number `state`, and what its verb number `verb` does.
  TokenId InState(std::size_t state);
  absl::Status Try(std::size_t verb, const TokenId& id);

  // What a list shows of an ACTIVE row's token, and a token that no row has, with the marker of `marked`.
  SeenToken Seen(const TokenId& id);
  SeenToken Strange(const TokenId& marked);
  // RecordSeen with a list that was asked for now, unless said otherwise; KindOf: the kind of the only stranger, or "".
  std::vector<Stranger> Record(std::vector<SeenToken> seen, std::optional<WallTime> listed = std::nullopt);
  std::string KindOf(SeenToken seen, std::optional<WallTime> listed = std::nullopt);
  std::vector<TokenId> Unseen(WallTime since, int skip = 0, int limit = 100);
  TakeInSpec SpecFor(const SeenToken& seen, bool revoke = false);
  absl::StatusOr<std::vector<Token>> TakeIn(std::vector<TakeInSpec> specs);
  TokenId NewId() { return MakeSortableId(loop_.Now(), random_); }

  static constexpr Duration kSettle = minutes(10);

  ManualLoop loop_;
  SystemRandom random_;
  Metrics metrics_;
  std::unique_ptr<LedgerWorld> world_;
  std::unique_ptr<Ledger> ledger_;
  std::int64_t next_upstream_id_ = 1000;
  std::map<TokenId, MadeUpstream> made_;
};

}  // namespace tokenbroker
