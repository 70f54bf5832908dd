#include "server/ledger/unknown_rows.h"

#include "absl/strings/str_cat.h"
#include "server/ledger/token_rows.h"

namespace tokenbroker {
namespace {

constexpr std::string_view kColumns =
    "upstream_id, upstream_user_id, upstream_name, upstream_expire_date, marked_id, reason, target_kind, target_id, "
    "target_path, owner, purpose, scopes, access_level, create_time, expire_time, last_used_time, find_time";

UnknownToken ReadUnknown(const Statement& row, const std::string& instance) {
  UnknownToken token;
  int column = 0;
  token.upstream.id = row.Int(column++);
  token.upstream.user_id = row.Int(column++);
  token.upstream.name = row.Text(column++);
  token.upstream.expire_date = ParseDate(row.Text(column++));
  token.marked = row.Text(column++);
  token.kind = ParseStrangerKind(row.Text(column++)).value_or(StrangerKind::kNoRow);
  const std::optional<TargetKind> kind = ParseTargetKind(row.Text(column++));
  const std::int64_t target_id = row.Int(column++);
  std::string path = row.Text(column++);
  if (kind.has_value()) token.target = ResolvedTarget{instance, *kind, target_id, std::move(path)};
  token.owner = row.Text(column++);
  token.purpose = row.Text(column++);
  token.scopes = SplitScopes(row.Text(column++));
  token.access_level = static_cast<int>(row.Int(column++));
  token.create_time = row.Time(column++);
  token.expire_time = row.OptionalTime(column++);
  token.last_used_time = row.OptionalTime(column++);
  token.find_time = row.Time(column++);
  return token;
}

absl::StatusOr<std::optional<UnknownToken>> FindOne(Transaction& transaction, const std::string& instance,
                                                    std::int64_t id) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      absl::StrCat("SELECT ", std::string(kColumns), " FROM unknown_tokens WHERE instance = ? AND upstream_id = ?"));
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, instance).Bind(2, id).Step();
  if (!row.ok()) return row.status();
  return *row ? std::optional(ReadUnknown(*select, instance)) : std::nullopt;
}

absl::Status Write(Transaction& transaction, const std::string& instance, const std::string& list, WallTime pass,
                   const UnknownToken& token) {
  absl::StatusOr<Statement> insert = transaction.db.Prepare(
      absl::StrCat("INSERT OR REPLACE INTO unknown_tokens (", std::string(kColumns),
                   ", instance, list, pass) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  if (!insert.ok()) return insert.status();
  insert->Bind(1, token.upstream.id).Bind(2, token.upstream.user_id).Bind(3, token.upstream.name);
  std::optional<std::string> date;
  if (token.upstream.expire_date.has_value()) date = FormatDate(*token.upstream.expire_date);
  insert->Bind(4, date).Bind(5, token.marked).Bind(6, NameOf(token.kind));
  if (token.target.has_value()) {
    insert->Bind(7, NameOf(token.target->kind)).Bind(8, token.target->id).Bind(9, token.target->path);
  }
  insert->Bind(10, token.owner).Bind(11, token.purpose).Bind(12, JoinScopes(token.scopes));
  insert->Bind(13, token.access_level).Bind(14, token.create_time).Bind(15, token.expire_time);
  insert->Bind(16, token.last_used_time).Bind(17, token.find_time);
  return insert->Bind(18, instance).Bind(19, list).Bind(20, pass).Run();
}

// It may have got a row since the list showed it.
absl::StatusOr<bool> HasOpenRow(Transaction& transaction, const std::string& instance, const UnknownToken& token) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT 1 FROM tokens WHERE instance = ? AND upstream_id = ? AND upstream_name = ? "
      "AND state IN ('ACTIVE', 'REVOKING')");
  if (!select.ok()) return select.status();
  return select->Bind(1, instance).Bind(2, token.upstream.id).Bind(3, token.upstream.name).Step();
}

absl::StatusOr<std::int64_t> CountUnknown(SqliteDb& db, const std::string& instance) {
  absl::StatusOr<Statement> select = db.Prepare("SELECT COUNT(*) FROM unknown_tokens WHERE instance = ?");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, instance).Step();
  if (!row.ok()) return row.status();
  return select->Int(0);
}

absl::Status ForgetUnseen(SqliteDb& db, const std::string& instance, WallTime pass, const std::string& list) {
  absl::StatusOr<Statement> remove =
      db.Prepare("DELETE FROM unknown_tokens WHERE instance = ?1 AND pass != ?2 AND (list = ?3 OR ?3 = '')");
  if (!remove.ok()) return remove.status();
  return remove->Bind(1, instance).Bind(2, pass).Bind(3, list).Run();
}

}  // namespace

absl::StatusOr<std::vector<std::int64_t>> RecordUnknownTokens(Transaction& transaction, const std::string& instance,
                                                              const std::string& list, WallTime pass,
                                                              const std::vector<UnknownToken>& found) {
  std::vector<std::int64_t> fresh;
  for (UnknownToken token : found) {
    const absl::StatusOr<bool> has_row = HasOpenRow(transaction, instance, token);
    if (!has_row.ok()) return has_row.status();
    if (*has_row) continue;
    const absl::StatusOr<std::optional<UnknownToken>> known = FindOne(transaction, instance, token.upstream.id);
    if (!known.ok()) return known.status();
    if (known->has_value() && (*known)->upstream.name == token.upstream.name) {
      token.find_time = (*known)->find_time;
      if (!token.target.has_value()) token.target = (*known)->target;
    } else {
      fresh.push_back(token.upstream.id);
    }
    const absl::Status written = Write(transaction, instance, list, pass, token);
    if (!written.ok()) return written;
  }
  return fresh;
}

absl::StatusOr<std::int64_t> EndPassOver(Transaction& transaction, const std::string& instance, WallTime pass,
                                         const std::vector<std::string>& lists) {
  for (const std::string& list : lists) {
    const absl::Status forgotten = ForgetUnseen(transaction.db, instance, pass, list);
    if (!forgotten.ok()) return forgotten;
  }
  absl::StatusOr<Statement> write =
      transaction.db.Prepare("INSERT OR REPLACE INTO passes (instance, began) VALUES (?, ?)");
  if (!write.ok()) return write.status();
  const absl::Status written = write->Bind(1, instance).Bind(2, pass).Run();
  if (!written.ok()) return written;
  return CountUnknown(transaction.db, instance);
}

absl::StatusOr<UnknownList> ListUnknownTokens(Transaction& transaction, const std::string& instance, std::int64_t after,
                                              int limit) {
  UnknownList list;
  const absl::StatusOr<std::int64_t> total = CountUnknown(transaction.db, instance);
  if (!total.ok()) return total.status();
  list.total = *total;
  {
    absl::StatusOr<Statement> pass = transaction.db.Prepare("SELECT began FROM passes WHERE instance = ?");
    if (!pass.ok()) return pass.status();
    const absl::StatusOr<bool> row = pass->Bind(1, instance).Step();
    if (!row.ok()) return row.status();
    if (*row) list.pass = pass->Time(0);
  }
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      absl::StrCat("SELECT ", std::string(kColumns),
                   " FROM unknown_tokens WHERE instance = ? AND upstream_id > ? ORDER BY upstream_id LIMIT ?"));
  if (!select.ok()) return select.status();
  select->Bind(1, instance).Bind(2, after).Bind(3, limit);
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return list;
    list.tokens.push_back(ReadUnknown(*select, instance));
  }
}

absl::StatusOr<std::vector<UnknownToken>> FindUnknownTokens(Transaction& transaction, const std::string& instance,
                                                            const std::vector<std::int64_t>& ids) {
  std::vector<UnknownToken> tokens;
  for (const std::int64_t id : ids) {
    absl::StatusOr<std::optional<UnknownToken>> found = FindOne(transaction, instance, id);
    if (!found.ok()) return found.status();
    if (found->has_value()) tokens.push_back(**std::move(found));
  }
  return tokens;
}

absl::Status ForgetUnknownToken(SqliteDb& db, const std::string& instance, std::int64_t upstream_id) {
  absl::StatusOr<Statement> remove = db.Prepare("DELETE FROM unknown_tokens WHERE instance = ? AND upstream_id = ?");
  if (!remove.ok()) return remove.status();
  return remove->Bind(1, instance).Bind(2, upstream_id).Run();
}

absl::Status ForgetUnknownTokens(SqliteDb& db) { return db.Execute("DELETE FROM unknown_tokens; DELETE FROM passes"); }

}  // namespace tokenbroker
