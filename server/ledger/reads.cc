#include "server/ledger/reads.h"

#include "server/base/error.h"
#include "server/ledger/requests.h"
#include "server/ledger/token_rows.h"

namespace tokenbroker {
absl::StatusOr<std::optional<RequestRecord>> FindRequestRecord(Transaction& transaction, const std::string& caller,
                                                               const RequestKey& key) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT digest, token_id, first_attempt_time FROM requests "
      "WHERE caller = ? AND request_id = ? AND first_attempt_time >= ?");
  if (!select.ok()) return select.status();
  select->Bind(1, caller).Bind(2, key.request_id).Bind(3, transaction.now - kRequestsKept);
  const absl::StatusOr<bool> row = select->Step();
  if (!row.ok()) return row.status();
  if (!*row) return std::nullopt;
  if (select->Text(0) != key.digest) {
    return Error(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED", "request_id: was used with other parameters")
        .Field("request_id", "was used with other parameters; make a new one for another token");
  }
  absl::StatusOr<TokenRecord> current = LoadToken(transaction.db, select->Text(1));
  if (!current.ok()) return current.status();
  return RequestRecord{key, select->Time(2), *std::move(current)};
}

absl::StatusOr<Ledger::Counts> CountRows(Transaction& transaction) {
  Ledger::Counts counts;
  {
    absl::StatusOr<Statement> parked = transaction.db.Prepare("SELECT COUNT(*) FROM tokens WHERE parked = 1");
    if (!parked.ok()) return parked.status();
    const absl::StatusOr<bool> row = parked->Step();
    if (!row.ok()) return row.status();
    counts.parked = parked->Int(0);
  }
  // In the order of an index, so that nothing is sorted.
  absl::StatusOr<Statement> select = transaction.db.Prepare("SELECT state, COUNT(*) FROM tokens GROUP BY owner, state");
  if (!select.ok()) return select.status();
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return counts;
    const std::optional<TokenState> state = ParseTokenState(select->Text(0));
    if (state.has_value()) counts.by_state[*state] += select->Int(1);
  }
}

}  // namespace tokenbroker
