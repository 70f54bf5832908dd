#pragma once
// The table of terms, by which lists find tokens of a target, with a scope or with a label. It has a row for each term
// of each token, in the order of create_time; open and closed tokens lie apart, so that a list of the open ones never
// wades through the closed.

#include <optional>
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

// The terms of the table under which all tokens lie that the query's own terms can match: of those that the table has,
// the one that is likely to have the fewest. Nothing if it has none of them; an empty vector if no token can match.
absl::StatusOr<std::optional<std::vector<std::string>>> TermsFor(SqliteDb& db, const std::vector<TokenTerm>& terms);
// Whether TermsFor would find something.
bool HasIndexedTerm(const std::vector<TokenTerm>& terms);

}  // namespace tokenbroker
