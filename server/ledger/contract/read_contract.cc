// Pages that others write into, and counts.

#include <map>
#include <utility>

#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {
namespace {

ListQuery QueryOf(const std::string& owner, bool show_closed = false, int limit = 50) {
  ListQuery query;
  query.owner = owner;
  query.show_closed = show_closed;
  query.limit = limit;
  return query;
}

// Pages join without a gap or a double, also where many rows have one create_time and new ones come in between.
TEST_P(LedgerContract, PagesJoin) {
  std::vector<TokenId> all;
  for (int i = 0; i < 9; ++i) {
    all.push_back(PendingRow());
    if (i % 4 == 3) loop_.Advance(seconds(1));
  }
  const std::vector<TokenId> whole = AllPages(QueryOf("ci"));
  ASSERT_EQ(whole.size(), all.size());
  std::vector<TokenId> paged;
  ListQuery query = QueryOf("ci", false, 2);
  for (int page = 0; page < 10; ++page) {
    const absl::StatusOr<TokenList> list = Wait(ledger_->List(query));
    ASSERT_EQ(list.status(), absl::OkStatus());
    ASSERT_LE(list->tokens.size(), 2U);
    for (const Token& token : list->tokens) paged.push_back(token.id);
    if (!list->next.has_value()) break;
    query.after = list->next;
    loop_.Advance(seconds(1));
    PendingRow();
  }
  EXPECT_EQ(paged, whole);
}

TEST_P(LedgerContract, CountsByState) {
  PendingRow();
  ActiveRow();
  ActiveRow();
  RevokingRow();
  AbandonedRow();
  const absl::StatusOr<Ledger::Counts> counts = Wait(ledger_->Count());
  ASSERT_EQ(counts.status(), absl::OkStatus());
  const std::map<TokenState, std::int64_t> expected = {
      {TokenState::kPending, 1}, {TokenState::kActive, 2}, {TokenState::kRevoking, 1}, {TokenState::kAbandoned, 1}};
  EXPECT_EQ(counts->by_state, expected);
}

}  // namespace
}  // namespace tokenbroker
