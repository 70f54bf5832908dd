#include "server/ledger/requests.h"

#include <utility>

#include "server/base/error.h"
#include "server/ledger/token_rows.h"

namespace tokenbroker {
namespace {

struct RequestRow {
  std::string digest;
  TokenId token_id;
  WallTime first_attempt_time;
};

absl::StatusOr<std::optional<RequestRow>> LoadRequest(Transaction& transaction, const std::string& caller,
                                                      const std::string& request_id) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT digest, token_id, first_attempt_time FROM requests WHERE caller = ? AND request_id = ?");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, caller).Bind(2, request_id).Step();
  if (!row.ok()) return row.status();
  if (!*row) return std::nullopt;
  return RequestRow{select->Text(0), select->Text(1), select->Time(2)};
}

absl::Status ForgetOldRequests(Transaction& transaction) {
  absl::StatusOr<Statement> purge = transaction.db.Prepare("DELETE FROM requests WHERE first_attempt_time < ?");
  if (!purge.ok()) return purge.status();
  return purge->Bind(1, transaction.now - kRequestsKept).Run();
}

absl::Status UnderWay(const TokenId& id, Duration retry_after) {
  return Error(absl::StatusCode::kAborted, "CREATE_IN_PROGRESS", "another attempt with this request_id is under way")
      .RetryAfter(retry_after)
      .Meta("token", ResourceName(id));
}

// The old attempt's answer may still come: from now on it is too late, also for a wall clock that steps back.
absl::Status GiveUp(Transaction& transaction, const TokenRecord& old) {
  if (transaction.now < old.give_up_time) return UnderWay(old.token.id, old.give_up_time - transaction.now);
  absl::StatusOr<Statement> update = transaction.db.Prepare("UPDATE tokens SET give_up_time = ? WHERE id = ?");
  if (!update.ok()) return update.status();
  return update->Bind(1, WallTime()).Bind(2, old.token.id).Run();
}

// Makes room for a new attempt of a request that is known already: the token of the last one gives way.
absl::Status Supersede(Transaction& transaction, const IntentSpec& spec, const RequestRow& request) {
  if (request.digest != spec.request->digest) {
    return Error(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED", "request_id: was used with other parameters")
        .Field("request_id", "was used with other parameters; make a new one for another token");
  }
  if (request.token_id != spec.replaces) {
    return UnderWay(request.token_id, seconds(1));
  }
  const absl::StatusOr<TokenRecord> old = LoadToken(transaction.db, request.token_id);
  if (!old.ok()) return old.status();
  if (old->pending) return GiveUp(transaction, *old);
  if (old->token.state != TokenState::kActive) return absl::OkStatus();
  Change change;
  change.to = TokenState::kRevoking;
  change.reason = RevokeReason::kSuperseded;
  change.next_attempt_time = transaction.now;
  change.actor = CallerResourceName(spec.token.owner);
  change.why = "its answer was lost: replaced by a repeat of the request";
  return Apply(transaction, *old, std::move(change)).status();
}

absl::Status NoteSuccessor(Transaction& transaction, const TokenId& id, const TokenId& successor) {
  absl::StatusOr<Statement> update = transaction.db.Prepare("UPDATE tokens SET successor = ? WHERE id = ?");
  if (!update.ok()) return update.status();
  return update->Bind(1, successor).Bind(2, id).Run();
}

}  // namespace

absl::StatusOr<std::optional<EarlierAttempt>> TakeOverRequest(Transaction& transaction, const IntentSpec& spec) {
  const absl::Status forgotten = ForgetOldRequests(transaction);
  if (!forgotten.ok()) return forgotten;
  if (!spec.request.has_value()) return std::nullopt;
  const absl::StatusOr<std::optional<RequestRow>> known =
      LoadRequest(transaction, spec.token.owner, spec.request->request_id);
  if (!known.ok()) return known.status();
  if (!known->has_value()) return std::nullopt;
  const RequestRow& request = **known;
  absl::Status done = Supersede(transaction, spec, request);
  if (done.ok()) done = NoteSuccessor(transaction, request.token_id, spec.token.id);
  if (!done.ok()) return done;
  return EarlierAttempt{request.token_id, request.first_attempt_time};
}

absl::Status WriteRequest(Transaction& transaction, const std::string& caller, const RequestKey& key,
                          const TokenId& token_id, WallTime first_attempt_time) {
  absl::StatusOr<Statement> write = transaction.db.Prepare(
      "INSERT INTO requests (caller, request_id, digest, token_id, first_attempt_time) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (caller, request_id) DO UPDATE SET token_id = excluded.token_id");
  if (!write.ok()) return write.status();
  return write->Bind(1, caller)
      .Bind(2, key.request_id)
      .Bind(3, key.digest)
      .Bind(4, token_id)
      .Bind(5, first_attempt_time)
      .Run();
}

}  // namespace tokenbroker
