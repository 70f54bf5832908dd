#include "server/ledger/token_rows.h"

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/json_writer.h"
#include "server/ledger/quota.h"
#include "server/ledger/restores.h"
#include "server/ledger/token_terms.h"

namespace tokenbroker {
namespace {

constexpr std::string_view kColumns =
    "id, owner, owner_rule, owner_captures, display_name, purpose, instance, target_kind, target_id, target_path, "
    "scopes, access_level, labels, "
    "state, revoke_requested, revoke_reason, predecessor, successor, upstream_id, upstream_user_id, upstream_name, "
    "upstream_expire_date, create_time, expire_time, give_up_time, revoke_time, last_used_time, reconcile_time, "
    "last_look, role, attempts, parked, next_attempt_time";

std::string JoinLabels(const std::map<std::string, std::string>& labels) {
  std::string text;
  for (const auto& [key, value] : labels) absl::StrAppend(&text, key, "\t", value, "\n");
  return text;
}

std::map<std::string, std::string> SplitLabels(std::string_view text) {
  std::map<std::string, std::string> labels;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const std::size_t tab = line.find('\t');
    if (tab != std::string_view::npos) labels.emplace(line.substr(0, tab), line.substr(tab + 1));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return labels;
}

std::string KindOf(TokenState state) {
  std::string kind = "token.";
  for (const char c : NameOf(state)) kind += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return kind;
}

// The state in which the row itself is: a PENDING one may show as REVOKING.
TokenState RowState(const TokenRecord& record) { return record.pending ? TokenState::kPending : record.token.state; }

}  // namespace

std::string JoinScopes(const std::vector<std::string>& scopes) {
  std::string text;
  for (const std::string& scope : scopes) text += (text.empty() ? "" : " ") + scope;
  return text;
}

std::vector<std::string> SplitScopes(std::string_view text) {
  std::vector<std::string> scopes;
  while (!text.empty()) {
    const std::size_t blank = std::min(text.find(' '), text.size());
    scopes.emplace_back(text.substr(0, blank));
    text.remove_prefix(std::min(blank + 1, text.size()));
  }
  return scopes;
}

std::string_view TokenColumns() { return kColumns; }
int TokenColumnCount() { return static_cast<int>(std::count(kColumns.begin(), kColumns.end(), ',')) + 1; }

TokenRecord ReadRow(const Statement& row) {
  TokenRecord record;
  Token& token = record.token;
  int column = 0;
  token.id = row.Text(column++);
  token.owner = row.Text(column++);
  token.owner_rule = row.Text(column++);
  token.owner_captures = SplitLabels(row.Text(column++));
  token.display_name = row.Text(column++);
  token.purpose = row.Text(column++);
  token.target.instance = row.Text(column++);
  token.target.kind = ParseTargetKind(row.Text(column++)).value_or(TargetKind::kUser);
  token.target.id = row.Int(column++);
  token.target.path = row.Text(column++);
  token.scopes = SplitScopes(row.Text(column++));
  token.access_level = static_cast<int>(row.Int(column++));
  token.labels = SplitLabels(row.Text(column++));
  token.state = ParseTokenState(row.Text(column++)).value_or(TokenState::kPending);
  record.revoke_requested = row.Int(column++) != 0;
  token.revoke_reason = ParseRevokeReason(row.Text(column++)).value_or(RevokeReason::kNone);
  token.predecessor = row.Text(column++);
  token.successor = row.Text(column++);
  token.upstream_id = row.Int(column++);
  token.upstream_user_id = row.Int(column++);
  token.upstream_name = row.Text(column++);
  token.upstream_expire_date = ParseDate(row.Text(column++));
  token.create_time = row.Time(column++);
  token.expire_time = row.Time(column++);
  record.give_up_time = row.Time(column++);
  token.revoke_time = row.OptionalTime(column++);
  token.last_used_time = row.OptionalTime(column++);
  token.reconcile_time = row.OptionalTime(column++);
  record.last_look = row.OptionalTime(column++);
  record.role = row.Text(column++);
  record.attempts = static_cast<int>(row.Int(column++));
  record.parked = row.Int(column++) != 0;
  record.next_attempt_time = row.OptionalTime(column++);
  record.pending = token.state == TokenState::kPending;
  if (record.pending && record.revoke_requested) {
    token.state = TokenState::kRevoking;
    token.revoke_reason = RevokeReason::kRequested;
  }
  return record;
}

absl::StatusOr<TokenRecord> LoadTokenRow(SqliteDb& db, std::int64_t row_number) {
  absl::StatusOr<Statement> select = db.Prepare("SELECT " + std::string(kColumns) + " FROM tokens WHERE row = ?");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, row_number).Step();
  if (!row.ok()) return row.status();
  if (!*row) return absl::NotFoundError("no such token");
  return ReadRow(*select);
}

absl::StatusOr<TokenRecord> LoadToken(SqliteDb& db, const TokenId& id) {
  absl::StatusOr<Statement> select = db.Prepare("SELECT " + std::string(kColumns) + " FROM tokens WHERE id = ?");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, id).Step();
  if (!row.ok()) return row.status();
  if (!*row) return absl::NotFoundError("no such token");
  return ReadRow(*select);
}

absl::Status InsertToken(SqliteDb& db, const TokenRecord& record) {
  absl::StatusOr<Statement> insert = db.Prepare(
      "INSERT INTO tokens (id, owner, display_name, purpose, instance, target_kind, target_id, target_path, scopes, "
      "access_level, labels, state, revoke_reason, predecessor, upstream_id, upstream_user_id, upstream_name, "
      "upstream_expire_date, create_time, expire_time, give_up_time, next_attempt_time, role, owner_rule, "
      "owner_captures) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!insert.ok()) return insert.status();
  const Token& token = record.token;
  insert->Bind(1, token.id).Bind(2, token.owner).Bind(3, token.display_name).Bind(4, token.purpose);
  insert->Bind(5, token.target.instance).Bind(6, NameOf(token.target.kind));
  insert->Bind(7, token.target.id).Bind(8, token.target.path).Bind(9, JoinScopes(token.scopes));
  insert->Bind(10, token.access_level).Bind(11, JoinLabels(token.labels)).Bind(12, NameOf(token.state));
  insert->Bind(13, NameOf(token.revoke_reason)).Bind(14, token.predecessor);
  if (token.upstream_id == 0) {
    insert->BindNull(15);
  } else {
    insert->Bind(15, token.upstream_id);
  }
  insert->Bind(16, token.upstream_user_id).Bind(17, token.upstream_name);
  if (token.upstream_expire_date.has_value()) {
    insert->Bind(18, FormatDate(*token.upstream_expire_date));
  } else {
    insert->BindNull(18);
  }
  insert->Bind(19, token.create_time).Bind(20, token.expire_time).Bind(21, record.give_up_time);
  insert->Bind(22, record.next_attempt_time)
      .Bind(23, record.role)
      .Bind(24, token.owner_rule)
      .Bind(25, JoinLabels(token.owner_captures));
  const absl::Status inserted = insert->Run();
  if (!inserted.ok()) return inserted;
  const absl::Status written = WriteTerms(db, token, db.LastRow());
  if (!written.ok() || IsClosed(RowState(record))) return written;
  return ChangeOpenTokens(db, token.owner, record.role, 1);
}

absl::StatusOr<TokenRecord> Apply(Transaction& transaction, const TokenRecord& before, Change change) {
  TokenRecord after = before;
  Token& token = after.token;
  token.state = change.to;
  if (change.reason != RevokeReason::kNone) token.revoke_reason = change.reason;
  if (change.made.has_value() && token.upstream_id == 0) {
    // Only what GitLab shows under this row's own name tells that the number is not another row's any more.
    if (change.made->name == token.upstream_name) {
      const absl::Status freed = FreeUpstreamId(transaction, token.target.instance, *change.made);
      if (!freed.ok()) return freed;
    }
    token.upstream_id = change.made->id;
    token.upstream_user_id = change.made->user_id;
    token.upstream_name = change.made->name;
    token.upstream_expire_date = change.made->expire_date;
  }
  if (change.expire_time.has_value()) token.expire_time = *change.expire_time;
  if (change.revoke_time.has_value()) token.revoke_time = change.revoke_time;
  after.next_attempt_time = change.next_attempt_time;
  after.pending = change.to == TokenState::kPending;
  after.attempts = 0;
  after.parked = false;

  absl::StatusOr<Statement> update = transaction.db.Prepare(
      "UPDATE tokens SET state = ?, revoke_reason = ?, upstream_id = ?, upstream_user_id = ?, upstream_name = ?, "
      "upstream_expire_date = ?, expire_time = ?, revoke_time = ?, next_attempt_time = ?, attempts = 0, parked = 0 "
      "WHERE id = ? AND state = ?");
  if (!update.ok()) return update.status();
  update->Bind(1, NameOf(token.state)).Bind(2, NameOf(token.revoke_reason));
  if (token.upstream_id == 0) {
    update->BindNull(3);
  } else {
    update->Bind(3, token.upstream_id);
  }
  update->Bind(4, token.upstream_user_id).Bind(5, token.upstream_name);
  if (token.upstream_expire_date.has_value()) {
    update->Bind(6, FormatDate(*token.upstream_expire_date));
  } else {
    update->BindNull(6);
  }
  update->Bind(7, token.expire_time).Bind(8, token.revoke_time).Bind(9, after.next_attempt_time);
  update->Bind(10, token.id).Bind(11, NameOf(RowState(before)));
  const absl::Status updated = update->Run();
  if (!updated.ok()) return updated;
  if (transaction.db.Changes() != 1) return absl::NotFoundError("the token's state has changed");
  if (IsClosed(RowState(before)) != IsClosed(token.state)) {
    const absl::Status moved = MoveTerms(transaction.db, token, IsClosed(token.state));
    if (!moved.ok()) return moved;
    const absl::Status counted =
        ChangeOpenTokens(transaction.db, token.owner, after.role, IsClosed(token.state) ? -1 : 1);
    if (!counted.ok()) return counted;
  }

  JsonWriter body;
  body.Object([&] {
    body.Field("from", NameOf(RowState(before)));
    body.Field("to", NameOf(token.state));
    if (token.revoke_reason != RevokeReason::kNone) body.Field("reason", NameOf(token.revoke_reason));
    if (token.upstream_id != 0) body.Field("upstream_id", token.upstream_id);
    body.Field("expire_time", FormatRfc3339(token.expire_time));
    body.Field("actor", change.actor);
    if (!change.why.empty()) body.Field("why", change.why);
  });
  const absl::Status noted = transaction.chain->Append(
      transaction.db, {transaction.now, KindOf(token.state), token.id, token.owner, body.Take()});
  if (!noted.ok()) return noted;
  return after;
}

absl::Status NoteEvent(Transaction& transaction, std::string kind, const Token& token, std::string_view actor,
                       std::string_view why) {
  JsonWriter body;
  body.Object([&] {
    body.Field("state", NameOf(token.state));
    body.Field("actor", actor);
    body.Field("why", why);
  });
  return transaction.chain->Append(transaction.db,
                                   {transaction.now, std::move(kind), token.id, token.owner, body.Take()});
}

}  // namespace tokenbroker
