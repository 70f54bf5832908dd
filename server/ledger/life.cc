#include "server/ledger/life.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/error.h"
#include "server/base/json_writer.h"
#include "server/domain/expiry.h"
#include "server/domain/scope.h"
#include "server/ledger/quota.h"
#include "server/ledger/requests.h"
#include "server/ledger/restores.h"
#include "server/ledger/token_rows.h"

namespace tokenbroker {
namespace {

// Whether somebody may have been rotating the token when its descendants were listed: its holder, or the holder of
// another token of the same user that carries `api`. Which tokens a person has besides is not known here.
bool MayHaveLateDescendant(const Token& token) {
  return AnySelfExtending(token.scopes) || token.target.kind == TargetKind::kUser;
}

std::string IntentBody(const Token& token, const Grounds& grounds) {
  JsonWriter body;
  body.Object([&] {
    body.Field("to", NameOf(token.state));
    body.Field("expire_time", FormatRfc3339(token.expire_time));
    body.Field("role", grounds.role);
    body.Field("policy", grounds.policy_version);
    if (!grounds.would_have.empty()) body.Field("would_have", grounds.would_have);
    if (!grounds.request.empty()) body.Raw("request", grounds.request);
  });
  return body.Take();
}

// Those among `found` that no row has yet. A number alone does not tell: a GitLab that was restored gives it out again.
absl::StatusOr<std::vector<MadeUpstream>> WithoutRow(Transaction& transaction, const std::string& instance,
                                                     const std::vector<MadeUpstream>& found) {
  std::vector<MadeUpstream> fresh;
  for (const MadeUpstream& each : found) {
    absl::StatusOr<Statement> select =
        transaction.db.Prepare("SELECT 1 FROM tokens WHERE instance = ? AND upstream_id = ? AND upstream_name = ?");
    if (!select.ok()) return select.status();
    const absl::StatusOr<bool> row = select->Bind(1, instance).Bind(2, each.id).Bind(3, each.name).Step();
    if (!row.ok()) return row.status();
    if (!*row) fresh.push_back(each);
  }
  return fresh;
}

absl::Status NoteLook(Transaction& transaction, const TokenId& id, WallTime began, std::optional<WallTime> next) {
  absl::StatusOr<Statement> update = transaction.db.Prepare(
      "UPDATE tokens SET last_look = ?, next_attempt_time = ?, attempts = 0, parked = 0 WHERE id = ?");
  if (!update.ok()) return update.status();
  return update->Bind(1, began).Bind(2, next).Bind(3, id).Run();
}

// A further token with the marker of `first`: a row of its own.
absl::StatusOr<TokenId> AddOrphan(Transaction& transaction, Random& random, const TokenRecord& first,
                                  const MadeUpstream& made) {
  TokenRecord orphan = first;
  Token& token = orphan.token;
  token.id = MakeSortableId(transaction.now, random);
  token.state = TokenState::kRevoking;
  token.revoke_reason = RevokeReason::kOrphan;
  token.upstream_id = made.id;
  token.upstream_user_id = made.user_id;
  token.upstream_name = made.name;
  token.upstream_expire_date = made.expire_date;
  orphan.next_attempt_time = transaction.now;
  absl::Status done = FreeUpstreamId(transaction, token.target.instance, made);
  if (done.ok()) done = InsertToken(transaction.db, orphan);
  if (done.ok()) {
    done = NoteEvent(transaction, "token.revoking", token, "look",
                     absl::StrCat("GitLab's token ", made.id, " has the marker of ", first.token.id, " as well"));
  }
  if (!done.ok()) return done;
  return token.id;
}

// Tokens at GitLab that were made for `row`, which has ended or is about to: what no row knows yet gets one of its own,
// so that none is left alive. Returns the new rows.
absl::StatusOr<std::vector<TokenId>> KeepStrays(Transaction& transaction, Random& random, const TokenRecord& row,
                                                const std::vector<MadeUpstream>& made) {
  const absl::StatusOr<std::vector<MadeUpstream>> strays = WithoutRow(transaction, row.token.target.instance, made);
  if (!strays.ok()) return strays.status();
  std::vector<TokenId> ids;
  for (const MadeUpstream& stray : *strays) {
    absl::StatusOr<TokenId> orphan = AddOrphan(transaction, random, row, stray);
    if (!orphan.ok()) return orphan.status();
    ids.push_back(*std::move(orphan));
  }
  return ids;
}

}  // namespace

absl::StatusOr<Token> BeginIntent(Transaction& transaction, const QuotaRules& rules, const IntentSpec& spec) {
  TokenRecord record;
  record.token = spec.token;
  Token& token = record.token;
  token.state = TokenState::kPending;
  token.create_time = transaction.now;
  token.expire_time = spec.ttl.has_value() ? transaction.now + *spec.ttl : *spec.expire_time;
  record.role = spec.grounds.role;
  record.give_up_time = transaction.now + kGiveUpAfter;
  record.next_attempt_time = record.give_up_time;
  if (token.expire_time <= transaction.now) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID", "token.expire_time: has passed")
        .Field("token.expire_time", "must be in the future");
  }
  absl::Status done = CheckRoom(transaction, rules, token.owner, record.role, spec.limits, spec.replaces);
  if (!done.ok()) return done;
  const absl::StatusOr<std::optional<EarlierAttempt>> earlier = TakeOverRequest(transaction, spec);
  if (!earlier.ok()) return earlier.status();
  WallTime first_attempt_time = transaction.now;
  if (earlier->has_value()) {
    first_attempt_time = (*earlier)->first_attempt_time;
    token.predecessor = (*earlier)->token_id;
  }
  done = InsertToken(transaction.db, record);
  if (done.ok() && spec.request.has_value()) {
    done = WriteRequest(transaction, token.owner, *spec.request, token.id, first_attempt_time);
  }
  if (done.ok()) {
    done = transaction.chain->Append(
        transaction.db, {transaction.now, "token.pending", token.id, token.owner, IntentBody(token, spec.grounds)});
  }
  if (!done.ok()) return done;
  return token;
}

absl::StatusOr<Token> ActivateToken(Transaction& transaction, Random& random, const TokenId& id,
                                    const MadeUpstream& made, WallTime expire_time) {
  const absl::StatusOr<TokenRecord> before = LoadToken(transaction.db, id);
  if (!before.ok()) return before.status();
  const bool in_time = before->pending && transaction.now < before->give_up_time;
  Change change;
  change.made = made;
  change.actor = "create";
  if (in_time && !before->revoke_requested) {
    change.to = TokenState::kActive;
    change.expire_time = std::min(expire_time, before->token.expire_time);
    change.next_attempt_time = change.expire_time;
  } else if (before->pending || before->token.state == TokenState::kAbandoned) {
    change.to = TokenState::kRevoking;
    change.reason = before->revoke_requested ? RevokeReason::kRequested : RevokeReason::kLateReply;
    change.next_attempt_time = transaction.now;
    change.why = "the answer came after the intent was given up, or its revocation asked for";
  } else {
    // A look was faster. What it found is this token, or GitLab has made two.
    const absl::StatusOr<std::vector<TokenId>> kept = KeepStrays(transaction, random, *before, {made});
    if (!kept.ok()) return kept.status();
    return before->token;
  }
  const absl::StatusOr<TokenRecord> after = Apply(transaction, *before, std::move(change));
  if (!after.ok()) return after.status();
  return after->token;
}

absl::StatusOr<Token> AbandonToken(Transaction& transaction, const TokenId& id, const std::string& why) {
  const absl::StatusOr<TokenRecord> before = LoadToken(transaction.db, id);
  if (!before.ok()) return before.status();
  if (!before->pending) return before->token;
  Change change;
  change.to = TokenState::kAbandoned;
  change.actor = "create";
  change.why = why;
  const absl::StatusOr<TokenRecord> after = Apply(transaction, *before, std::move(change));
  if (!after.ok()) return after.status();
  return after->token;
}

absl::StatusOr<Token> StartRevokingToken(Transaction& transaction, Random& random, const TokenId& id,
                                         RevokeReason reason, const std::optional<MadeUpstream>& made) {
  const absl::StatusOr<TokenRecord> before = LoadToken(transaction.db, id);
  if (!before.ok()) return before.status();
  const TokenState state = before->token.state;
  if (!before->pending && state != TokenState::kActive && state != TokenState::kAbandoned) {
    if (made.has_value()) {
      const absl::StatusOr<std::vector<TokenId>> kept = KeepStrays(transaction, random, *before, {*made});
      if (!kept.ok()) return kept.status();
    }
    return before->token;
  }
  Change change;
  change.to = TokenState::kRevoking;
  change.reason = before->revoke_requested ? RevokeReason::kRequested : reason;
  change.made = made;
  change.next_attempt_time = transaction.now;
  change.actor = "broker";
  const absl::StatusOr<TokenRecord> after = Apply(transaction, *before, std::move(change));
  if (!after.ok()) return after.status();
  return after->token;
}

absl::StatusOr<TokenRecord> RequestTokenRevocation(Transaction& transaction, const TokenId& id,
                                                   const std::string& caller) {
  absl::StatusOr<TokenRecord> before = LoadToken(transaction.db, id);
  if (!before.ok()) return before.status();
  if (before->pending && !before->revoke_requested) {
    absl::StatusOr<Statement> flag = transaction.db.Prepare("UPDATE tokens SET revoke_requested = 1 WHERE id = ?");
    if (!flag.ok()) return flag.status();
    absl::Status done = flag->Bind(1, id).Run();
    if (done.ok()) done = NoteEvent(transaction, "token.revoke_requested", before->token, caller, "before it was made");
    if (!done.ok()) return done;
    return LoadToken(transaction.db, id);
  }
  if (before->pending || before->token.state != TokenState::kActive) return before;
  Change change;
  change.to = TokenState::kRevoking;
  change.reason = RevokeReason::kRequested;
  change.next_attempt_time = transaction.now;
  change.actor = CallerResourceName(caller);
  return Apply(transaction, *before, std::move(change));
}

absl::StatusOr<TokenRecord> RevokeTokenForPolicy(Transaction& transaction, const TokenId& id, const std::string& caller,
                                                 const std::string& why) {
  absl::StatusOr<TokenRecord> before = LoadToken(transaction.db, id);
  if (!before.ok() || before->pending || before->token.state != TokenState::kActive) return before;
  Change change;
  change.to = TokenState::kRevoking;
  change.reason = RevokeReason::kPolicy;
  change.next_attempt_time = transaction.now;
  change.actor = CallerResourceName(caller);
  change.why = why;
  return Apply(transaction, *before, std::move(change));
}

absl::StatusOr<Token> RecordTokenDeath(Transaction& transaction, Duration settle, const TokenId& id, Proof proof) {
  const absl::StatusOr<TokenRecord> before = LoadToken(transaction.db, id);
  if (!before.ok()) return before.status();
  const TokenState state = before->token.state;
  if (before->pending || (state != TokenState::kRevoking && state != TokenState::kActive)) return before->token;
  Change change;
  const bool ttl = state == TokenState::kRevoking && before->token.revoke_reason == RevokeReason::kTtl;
  change.to = ttl ? TokenState::kExpired : TokenState::kRevoked;
  if (state == TokenState::kActive) change.reason = RevokeReason::kUpstream;
  change.revoke_time = transaction.now;
  // Found by a look: its POST may have been carried out a second time, so the later looks are done all the same.
  if (before->last_look.has_value()) {
    change.next_attempt_time = NextLook(before->token.create_time, settle, before->last_look);
  }
  if (MayHaveLateDescendant(before->token)) {
    const WallTime again = transaction.now + kSecondDescendantList;
    change.next_attempt_time = std::min(change.next_attempt_time.value_or(again), again);
  }
  change.actor = "broker";
  change.why = NameOf(proof);
  const absl::StatusOr<TokenRecord> after = Apply(transaction, *before, std::move(change));
  if (!after.ok()) return after.status();
  return after->token;
}

absl::StatusOr<Token> RecordFailedAttempt(Transaction& transaction, const TokenId& id, WallTime next_attempt_time,
                                          bool parked, const std::string& why) {
  const absl::StatusOr<TokenRecord> before = LoadToken(transaction.db, id);
  if (!before.ok()) return before.status();
  const bool has_ended = !before->pending && IsClosed(before->token.state);
  const bool waits = before->next_attempt_time.has_value() && before->token.state != TokenState::kActive;
  if (!waits) return before->token;
  parked = parked && !has_ended;
  absl::StatusOr<Statement> update = transaction.db.Prepare(
      "UPDATE tokens SET attempts = CASE WHEN ?1 > parked THEN 1 ELSE attempts + 1 END, parked = ?1, "
      "next_attempt_time = ?2 WHERE id = ?3");
  if (!update.ok()) return update.status();
  absl::Status done = update->Bind(1, parked).Bind(2, next_attempt_time).Bind(3, id).Run();
  if (done.ok() && parked != before->parked) {
    done = NoteEvent(transaction, parked ? "token.parked" : "token.unparked", before->token, "broker", why);
  }
  if (!done.ok()) return done;
  return before->token;
}

absl::StatusOr<Token> KeepStrayToken(Transaction& transaction, Random& random, const TokenId& id,
                                     const MadeUpstream& made) {
  const absl::StatusOr<TokenRecord> row = LoadToken(transaction.db, id);
  if (!row.ok()) return row.status();
  const absl::StatusOr<std::vector<TokenId>> kept = KeepStrays(transaction, random, *row, {made});
  if (!kept.ok()) return kept.status();
  return row->token;
}

absl::StatusOr<std::vector<TokenId>> RecordLookResult(Transaction& transaction, Random& random, Duration settle,
                                                      const TokenId& id, WallTime began,
                                                      const std::vector<MadeUpstream>& found) {
  const absl::StatusOr<TokenRecord> before = LoadToken(transaction.db, id);
  if (!before.ok()) return before.status();
  // The create's own answer was faster, and its token is the caller's.
  if (!before->pending && before->token.state == TokenState::kActive) return std::vector<TokenId>();
  if (!before->pending && before->token.state != TokenState::kAbandoned) {
    absl::StatusOr<std::vector<TokenId>> strays = KeepStrays(transaction, random, *before, found);
    // It is still to be revoked: what is to be listed comes after that.
    if (!strays.ok() || !IsClosed(before->token.state)) return strays;
    // Without an earlier sweep its POST's end is known: this was the second list of its descendants, and the last.
    std::optional<WallTime> next;
    if (before->last_look.has_value()) next = NextLook(before->token.create_time, settle, began);
    const absl::Status noted = NoteLook(transaction, id, began, next);
    if (!noted.ok()) return noted;
    return strays;
  }
  absl::StatusOr<std::vector<MadeUpstream>> fresh = WithoutRow(transaction, before->token.target.instance, found);
  if (!fresh.ok()) return fresh.status();

  const WallTime create_time = before->token.create_time;
  if (fresh->empty()) {
    const std::optional<WallTime> next = NextLook(create_time, settle, began);
    if (before->pending && LookMayClose(create_time, settle, began)) {
      Change change;
      change.to = TokenState::kAbandoned;
      change.next_attempt_time = next;
      change.actor = "look";
      change.why = "GitLab has no token with its marker";
      const absl::StatusOr<TokenRecord> closed = Apply(transaction, *before, std::move(change));
      if (!closed.ok()) return closed.status();
    }
    const absl::Status noted = NoteLook(transaction, id, began, next);
    if (!noted.ok()) return noted;
    return std::vector<TokenId>();
  }

  Change change;
  change.to = TokenState::kRevoking;
  change.reason = before->revoke_requested ? RevokeReason::kRequested : RevokeReason::kOrphan;
  change.made = fresh->front();
  change.next_attempt_time = transaction.now;
  change.actor = "look";
  const absl::StatusOr<TokenRecord> first = Apply(transaction, *before, std::move(change));
  if (!first.ok()) return first.status();
  const absl::Status noted = NoteLook(transaction, id, began, transaction.now);
  if (!noted.ok()) return noted;
  absl::StatusOr<std::vector<TokenId>> ids = KeepStrays(transaction, random, *first, *fresh);
  if (ids.ok()) ids->insert(ids->begin(), id);
  return ids;
}

}  // namespace tokenbroker
