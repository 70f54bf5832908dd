#pragma once
// Ledger::List over SQLite.
//
// A list is the merge of runs: ranges of one index that lie in the list's order already, one for each owner and state
// (or, in the table of terms, for each owner, term, and open or closed). Of each run no more is read than the page
// needs, and nothing is sorted but where a term's index lies in the order of the other time: if it leads to few enough
// rows, they are all read; else the terms are compared along the order.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/ledger/ledger.h"

namespace tokenbroker {

struct Transaction;

absl::StatusOr<TokenList> ListRows(Transaction& transaction, const ListQuery& query);

// The statement that reads a piece of a run, for tests that ask SQLite how it would go about it.
std::string RunStatement(const ListQuery& query);
// The statement that finds the next owner.
std::string_view OwnerStatement();

}  // namespace tokenbroker
