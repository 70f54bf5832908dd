#pragma once
// Rows that need no process of their own: the policy's pace, and the claims of a ledger with much that is due.

#include <vector>

#include "tests/bench/table.h"

namespace tokenbroker::bench {

// Decisions of a policy with 10,000 rules: for a caller who has a few of them, and for one who has all.
std::vector<Row> PolicyRows(Span span);

// Claims of 64 rows while `due` rows are due.
Row ClaimRow(int due, Span span);

}  // namespace tokenbroker::bench
