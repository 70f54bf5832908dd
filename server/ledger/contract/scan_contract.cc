// Lists and whatever else takes long: nothing else waits for them, and they take turns between callers.

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "server/base/task_scope.h"
#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {
namespace {

// Holds the ledger's thread that asks it until it is opened.
class Gate {
 public:
  ~Gate() { Open(); }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  // Waits until somebody is held.
  bool WaitForOne() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(30), [this] { return arrived_ > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int arrived_ = 0;
};

ListQuery QueryOf(const std::string& caller) {
  ListQuery query;
  query.caller = caller;
  return query;
}

TEST_P(LedgerContract, NothingElseWaitsForAListThatTakesLong) {
  const TokenId active = ActiveRow();
  const TokenId expiring = ActiveRow("ci", minutes(1));
  TaskScope scope(loop_);
  Gate gate;
  bool listed = false;
  ListQuery slow = QueryOf("ci");
  slow.visible = [&gate](const Token&) {
    gate.Pass();
    return true;
  };
  scope.Spawn<absl::StatusOr<TokenList>>(ledger_->List(slow), [&](const absl::StatusOr<TokenList>&) { listed = true; });
  loop_.RunUntilIdle();
  ASSERT_TRUE(gate.WaitForOne());
  loop_.Advance(minutes(1));
  EXPECT_EQ(Wait(ledger_->Get(active)).status(), absl::OkStatus());
  EXPECT_EQ(Wait(ledger_->FindRequest("ci", {"3f0f5b0a-56b5-4bd1-a2fd-7a0e3a3b8f10", "d"})).status(), absl::OkStatus());
  EXPECT_EQ(Wait(ledger_->CheckQuota("ci", "role", {10, 10}, std::nullopt)), absl::OkStatus());
  EXPECT_EQ(Wait(ledger_->NextDue()).status(), absl::OkStatus());
  EXPECT_EQ(Wait(ledger_->ListDue(std::nullopt, 10))->rows.size(), 1U);
  EXPECT_EQ(Claim(), std::vector<TokenId>{expiring});
  (void)PendingRow();
  EXPECT_FALSE(listed);
  gate.Open();
  EXPECT_TRUE(loop_.RunUntil([&] { return listed; }));
}

TEST_P(LedgerContract, ListsTakeTurnsBetweenCallers) {
  (void)ActiveRow();
  TaskScope scope(loop_);
  Gate gate;
  std::mutex mutex;
  std::vector<std::string> order;  // In which lists reached their token.
  const auto start = [&](const std::string& caller) {
    ListQuery query = QueryOf(caller);
    query.visible = [&, caller](const Token&) {
      {
        const std::lock_guard lock(mutex);
        order.push_back(caller);
      }
      gate.Pass();
      return true;
    };
    scope.Spawn<absl::StatusOr<TokenList>>(ledger_->List(query), [](const absl::StatusOr<TokenList>&) {});
    loop_.RunUntilIdle();
  };
  start("busy");
  ASSERT_TRUE(gate.WaitForOne());
  for (int i = 0; i < 4; ++i) start("busy");
  start("quiet");
  start("calm");
  start("quiet");
  gate.Open();
  ASSERT_TRUE(loop_.RunUntil([&] { return scope.running() == 0; }));
  EXPECT_EQ(order, (std::vector<std::string>{"busy", "calm", "quiet", "busy", "quiet", "busy", "busy", "busy"}));
}

}  // namespace
}  // namespace tokenbroker
