#include "server/ledger/token_terms.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace tokenbroker {
namespace {

std::string TargetKey(TargetKind kind, std::int64_t id) {
  return absl::StrCat("target=", std::string(NameOf(kind)), ":", id);
}
std::string ScopeKey(const std::string& scope) { return "scope=" + scope; }
std::string LabelKey(const std::string& key) { return "label=" + key; }
std::string LabelKey(const std::string& key, const std::string& value) { return "label=" + key + '\t' + value; }

std::vector<std::string> KeysOf(const Token& token) {
  std::vector<std::string> keys = {TargetKey(token.target.kind, token.target.id)};
  for (const std::string& scope : token.scopes) keys.push_back(ScopeKey(scope));
  for (const auto& [key, value] : token.labels) {
    keys.push_back(LabelKey(key));
    keys.push_back(LabelKey(key, value));
  }
  return keys;
}

absl::Status NotePath(SqliteDb& db, const ResolvedTarget& target) {
  absl::StatusOr<Statement> insert =
      db.Prepare("INSERT OR IGNORE INTO target_paths (kind, path, target_id) VALUES (?, ?, ?)");
  if (!insert.ok()) return insert.status();
  return insert->Bind(1, NameOf(target.kind)).Bind(2, LowerCase(target.path)).Bind(3, target.id).Run();
}

absl::StatusOr<std::vector<std::string>> TargetKeys(SqliteDb& db, const Target& target) {
  if (target.id().has_value()) return std::vector<std::string>{TargetKey(target.kind, *target.id())};
  absl::StatusOr<Statement> select = db.Prepare("SELECT target_id FROM target_paths WHERE kind = ? AND path = ?");
  if (!select.ok()) return select.status();
  select->Bind(1, NameOf(target.kind)).Bind(2, LowerCase(target.ref));
  std::vector<std::string> keys;
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return keys;
    keys.push_back(TargetKey(target.kind, select->Int(0)));
  }
}

template <typename Term>
const Term* Find(const std::vector<TokenTerm>& terms) {
  for (const TokenTerm& term : terms) {
    if (const Term* found = std::get_if<Term>(&term)) return found;
  }
  return nullptr;
}

}  // namespace

absl::Status WriteTerms(SqliteDb& db, const Token& token, std::int64_t row) {
  const absl::Status noted = NotePath(db, token.target);
  if (!noted.ok()) return noted;
  for (const std::string& key : KeysOf(token)) {
    // A request may name a scope twice.
    absl::StatusOr<Statement> insert = db.Prepare(
        "INSERT OR IGNORE INTO token_terms (owner, term, closed, create_time, id, row) VALUES (?, ?, ?, ?, ?, ?)");
    if (!insert.ok()) return insert.status();
    insert->Bind(1, token.owner).Bind(2, key).Bind(3, IsClosed(token.state)).Bind(4, token.create_time);
    const absl::Status inserted = insert->Bind(5, token.id).Bind(6, row).Run();
    if (!inserted.ok()) return inserted;
  }
  return absl::OkStatus();
}

absl::Status MoveTerms(SqliteDb& db, const Token& token, bool closed) {
  for (const std::string& key : KeysOf(token)) {
    absl::StatusOr<Statement> update = db.Prepare(
        "UPDATE token_terms SET closed = ?1 "
        "WHERE owner = ?2 AND term = ?3 AND closed = ?4 AND create_time = ?5 AND id = ?6");
    if (!update.ok()) return update.status();
    update->Bind(1, closed).Bind(2, token.owner).Bind(3, key).Bind(4, !closed);
    const absl::Status moved = update->Bind(5, token.create_time).Bind(6, token.id).Run();
    if (!moved.ok()) return moved;
  }
  return absl::OkStatus();
}

bool HasIndexedTerm(const std::vector<TokenTerm>& terms) {
  return Find<TargetTerm>(terms) != nullptr || Find<LabelTerm>(terms) != nullptr || Find<ScopeTerm>(terms) != nullptr;
}

absl::StatusOr<std::vector<std::string>> TermsFor(SqliteDb& db, const std::vector<TokenTerm>& terms) {
  if (const auto* term = Find<TargetTerm>(terms)) return TargetKeys(db, term->target);
  std::vector<std::string> keys;
  if (const auto* label = Find<LabelTerm>(terms)) {
    keys.push_back(label->value.has_value() ? LabelKey(label->key, *label->value) : LabelKey(label->key));
  } else if (const auto* scope = Find<ScopeTerm>(terms)) {
    keys.push_back(ScopeKey(scope->scope));
  }
  return keys;
}

}  // namespace tokenbroker
