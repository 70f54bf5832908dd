#pragma once
// The table of terms, by which lists find tokens of a target, with a scope or with a label. It has a row for each term
// of each token, in the order of create_time; open and closed tokens lie apart, so that a list of the open ones never
// wades through the closed.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/ledger/ledger.h"
#include "server/ledger/sqlite_db.h"

namespace tokenbroker {

// Notes the terms of a new token, whose row has this number.
absl::Status WriteTerms(SqliteDb& db, const Token& token, std::int64_t row);
// To be called when a token closes, or opens again.
absl::Status MoveTerms(SqliteDb& db, const Token& token, bool closed);

// Whether a query with these terms can be served by the table.
bool HasIndexedTerm(const std::vector<TokenTerm>& terms);
// The terms of the table under which all tokens lie that match: those of the query's own term that is likely to have
// the fewest. Empty if no token can match. The query must have an indexed term.
absl::StatusOr<std::vector<std::string>> TermsFor(SqliteDb& db, const std::vector<TokenTerm>& terms);

}  // namespace tokenbroker
