#include "server/ledger/facts.h"

#include <utility>

#include "server/base/error.h"
#include "server/ledger/restores.h"
#include "server/ledger/token_rows.h"
#include "server/ledger/unknown_rows.h"

namespace tokenbroker {
namespace {

// The row of exactly this token at GitLab. A number alone would not do: a GitLab that was restored gives it out again.
absl::StatusOr<std::optional<TokenRecord>> RowOf(Transaction& transaction, const std::string& instance,
                                                 const MadeUpstream& upstream) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT " + std::string(TokenColumns()) +
      " FROM tokens WHERE instance = ? AND upstream_id = ? AND upstream_name = ? ORDER BY create_time DESC LIMIT 1");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, instance).Bind(2, upstream.id).Bind(3, upstream.name).Step();
  if (!row.ok()) return row.status();
  return *row ? std::optional(ReadRow(*select)) : std::nullopt;
}

absl::StatusOr<std::optional<TokenRecord>> FindToken(Transaction& transaction, const TokenId& id) {
  absl::StatusOr<TokenRecord> row = LoadToken(transaction.db, id);
  if (row.ok()) return std::optional(*std::move(row));
  if (absl::IsNotFound(row.status())) return std::optional<TokenRecord>();
  return row.status();
}

bool WasEndedBefore(const TokenRecord& row, WallTime time) {
  return row.token.revoke_time.has_value() && *row.token.revoke_time < time;
}

absl::Status NoteSeen(Transaction& transaction, const TokenRecord& row, const SeenToken& seen) {
  absl::StatusOr<Statement> update = transaction.db.Prepare(
      "UPDATE tokens SET last_used_time = COALESCE(?, last_used_time), reconcile_time = ? WHERE id = ?");
  if (!update.ok()) return update.status();
  return update->Bind(1, seen.last_used_time).Bind(2, transaction.now).Bind(3, row.token.id).Run();
}

// Why no row explains a living token; nothing if one does, or soon will.
absl::StatusOr<std::optional<Stranger>> Judge(Transaction& transaction, const std::string& instance,
                                              const SeenToken& seen, WallTime listed) {
  const absl::StatusOr<std::optional<TokenRecord>> own = RowOf(transaction, instance, seen.upstream);
  if (!own.ok()) return own.status();
  Stranger stranger;
  stranger.marked = seen.marked;
  if (own->has_value()) {
    const TokenRecord& row = **own;
    if (!IsClosed(row.token.state)) {
      const absl::Status noted = NoteSeen(transaction, row, seen);
      if (!noted.ok()) return noted;
      return std::optional<Stranger>();
    }
    // One that ended while the list was on its way is no news.
    if (!WasEndedBefore(row, listed)) return std::optional<Stranger>();
    stranger.kind = StrangerKind::kClosed;
    stranger.row = row;
    return std::optional(std::move(stranger));
  }
  absl::StatusOr<std::optional<TokenRecord>> marked = FindToken(transaction, seen.marked);
  if (!marked.ok()) return marked.status();
  if (!marked->has_value()) return std::optional(std::move(stranger));
  const TokenRecord& row = **marked;
  if (row.pending) return std::optional<Stranger>();  // Its create or its looks will say.
  switch (row.token.state) {
    case TokenState::kAbandoned:
      if (row.next_attempt_time.has_value()) return std::optional<Stranger>();  // Looks are still to come.
      stranger.kind = StrangerKind::kAbandoned;
      break;
    case TokenState::kActive:
      stranger.kind = StrangerKind::kSecond;
      break;
    case TokenState::kRevoked:
    case TokenState::kExpired:
      if (!WasEndedBefore(row, listed)) return std::optional<Stranger>();
      stranger.kind = StrangerKind::kClosed;
      break;
    case TokenState::kPending:
    case TokenState::kRevoking:
      return std::optional<Stranger>();  // Its family is being ended.
  }
  stranger.row = *std::move(*marked);
  return std::optional(std::move(stranger));
}

absl::Status NotAdoptable(const TakeInSpec& spec, std::string_view why) {
  return Error(absl::StatusCode::kFailedPrecondition, "TOKEN_NOT_ADOPTABLE",
               "GitLab's token " + std::to_string(spec.made.id) + " cannot be adopted: " + std::string(why))
      .Meta("upstream_id", std::to_string(spec.made.id));
}

// A row of its own for a token that no row has.
absl::StatusOr<Token> InsertTakenIn(Transaction& transaction, const TakeInSpec& spec, TokenId id) {
  TokenRecord record;
  record.token = spec.token;
  Token& token = record.token;
  token.id = std::move(id);
  token.state = spec.revoke ? TokenState::kRevoking : TokenState::kActive;
  token.revoke_reason = spec.revoke ? RevokeReason::kOrphan : RevokeReason::kNone;
  token.upstream_id = spec.made.id;
  token.upstream_user_id = spec.made.user_id;
  token.upstream_name = spec.made.name;
  token.upstream_expire_date = spec.made.expire_date;
  record.give_up_time = transaction.now;
  record.next_attempt_time = spec.revoke ? transaction.now : token.expire_time;
  absl::Status done = InsertToken(transaction.db, record);
  if (done.ok()) {
    done =
        NoteEvent(transaction, spec.revoke ? "token.revoking" : "token.active", token, CallerResourceName(spec.actor),
                  (spec.revoke ? "found at GitLab without a row: revoked, token " : "adopted from GitLab's token ") +
                      std::to_string(spec.made.id));
  }
  if (!done.ok()) return done;
  return token;
}

// The abandoned row comes back to life, or goes on to its end.
absl::StatusOr<Token> ReviveAbandoned(Transaction& transaction, const TakeInSpec& spec, const TokenRecord& row) {
  Change change;
  change.made = spec.made;
  change.actor = CallerResourceName(spec.actor);
  const bool revoke = spec.revoke || row.revoke_requested;
  change.to = revoke ? TokenState::kRevoking : TokenState::kActive;
  if (revoke) change.reason = row.revoke_requested ? RevokeReason::kRequested : RevokeReason::kOrphan;
  change.next_attempt_time = revoke ? transaction.now : row.token.expire_time;
  change.why = revoke ? "found at GitLab after it was abandoned" : "adopted";
  const absl::StatusOr<TokenRecord> after = Apply(transaction, row, std::move(change));
  if (!after.ok()) return after.status();
  return after->token;
}

absl::StatusOr<Token> TakeInToken(Transaction& transaction, Random& random, const TakeInSpec& spec) {
  const absl::StatusOr<std::optional<TokenRecord>> own = RowOf(transaction, spec.token.target.instance, spec.made);
  if (!own.ok()) return own.status();
  if (own->has_value() && !IsClosed((*own)->token.state)) return (*own)->token;  // It has been taken in already.
  if (own->has_value() && !spec.revoke) return NotAdoptable(spec, "its row has ended");
  absl::StatusOr<std::optional<TokenRecord>> marked = FindToken(transaction, spec.token.id);
  if (!marked.ok()) return marked.status();
  if (!marked->has_value()) return InsertTakenIn(transaction, spec, spec.token.id);
  const TokenRecord& row = **marked;
  const bool abandoned = !row.pending && row.token.state == TokenState::kAbandoned;
  if (row.pending || (abandoned && row.next_attempt_time.has_value())) {
    return NotAdoptable(spec, "the broker is still looking for it");
  }
  if (abandoned && row.token.upstream_id == 0) return ReviveAbandoned(transaction, spec, row);
  if (row.token.state != TokenState::kActive && !spec.revoke) return NotAdoptable(spec, "its row has ended");
  return InsertTakenIn(transaction, spec, MakeSortableId(transaction.now, random));
}

}  // namespace

absl::StatusOr<std::vector<Stranger>> RecordSeenTokens(Transaction& transaction, const std::string& instance,
                                                       const std::vector<SeenToken>& seen, WallTime listed) {
  std::vector<Stranger> strangers;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    absl::StatusOr<std::optional<Stranger>> stranger = Judge(transaction, instance, seen[i], listed);
    if (!stranger.ok()) return stranger.status();
    if (!stranger->has_value()) continue;
    (*stranger)->index = i;
    strangers.push_back(**std::move(stranger));
  }
  return strangers;
}

absl::StatusOr<std::vector<std::int64_t>> ActiveRowsAmong(Transaction& transaction, const std::string& instance,
                                                          const std::vector<MadeUpstream>& tokens) {
  std::vector<std::int64_t> active;
  for (const MadeUpstream& token : tokens) {
    absl::StatusOr<Statement> select = transaction.db.Prepare(
        "SELECT 1 FROM tokens WHERE instance = ? AND upstream_id = ? AND upstream_name = ? AND state = 'ACTIVE'");
    if (!select.ok()) return select.status();
    const absl::StatusOr<bool> row = select->Bind(1, instance).Bind(2, token.id).Bind(3, token.name).Step();
    if (!row.ok()) return row.status();
    if (*row) active.push_back(token.id);
  }
  return active;
}

absl::StatusOr<std::vector<TokenRecord>> ListUnseenRows(Transaction& transaction, WallTime since, int skip, int limit) {
  absl::StatusOr<Statement> select =
      transaction.db.Prepare("SELECT " + std::string(TokenColumns()) +
                             " FROM tokens WHERE state = 'ACTIVE' AND COALESCE(reconcile_time, 0) < ?1 AND "
                             "(create_time < ?1 OR create_time > ?2) "
                             "ORDER BY COALESCE(reconcile_time, 0), id LIMIT ?3 OFFSET ?4");
  if (!select.ok()) return select.status();
  select->Bind(1, since).Bind(2, transaction.now).Bind(3, limit).Bind(4, skip);
  std::vector<TokenRecord> rows;
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return rows;
    rows.push_back(ReadRow(*select));
  }
}

absl::StatusOr<std::vector<ResolvedTarget>> ListActiveTargets(Transaction& transaction,
                                                              const std::optional<ResolvedTarget>& after, int limit) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT DISTINCT instance, target_kind, target_id, target_path FROM tokens WHERE state = 'ACTIVE' "
      "AND (instance, target_kind, target_id, target_path) > (?, ?, ?, ?) "
      "ORDER BY instance, target_kind, target_id, target_path LIMIT ?");
  if (!select.ok()) return select.status();
  const ResolvedTarget from = after.value_or(ResolvedTarget());
  select->Bind(1, from.instance).Bind(2, after.has_value() ? NameOf(from.kind) : "");
  select->Bind(3, from.id).Bind(4, from.path).Bind(5, limit);
  std::vector<ResolvedTarget> targets;
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return targets;
    targets.push_back({select->Text(0), ParseTargetKind(select->Text(1)).value_or(TargetKind::kUser), select->Int(2),
                       select->Text(3)});
  }
}

absl::StatusOr<std::vector<Token>> TakeInTokens(Transaction& transaction, Random& random,
                                                const std::vector<TakeInSpec>& specs) {
  std::vector<Token> tokens;
  for (const TakeInSpec& spec : specs) {
    absl::Status freed = FreeUpstreamId(transaction, spec.token.target.instance, spec.made);
    if (!freed.ok()) return freed;
    absl::StatusOr<Token> token = TakeInToken(transaction, random, spec);
    if (!token.ok()) return token.status();
    const absl::Status forgotten = ForgetUnknownToken(transaction.db, spec.token.target.instance, spec.made.id);
    if (!forgotten.ok()) return forgotten;
    tokens.push_back(*std::move(token));
  }
  return tokens;
}

}  // namespace tokenbroker
