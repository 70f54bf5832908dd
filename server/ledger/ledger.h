#pragma once
// What the broker must not forget: tokens, the requests that asked for them, and the audit events of every change. The
// verbs are the domain's; each says what is durable when its task is done. No state goes backwards: every change is a
// compare-and-set on the row's state, in one transaction with its event.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/task.h"
#include "server/domain/audit_record.h"
#include "server/domain/durable_intent.h"
#include "server/domain/quota.h"
#include "server/domain/token.h"
#include "server/domain/token_filter.h"

namespace tokenbroker {

// A token's row: the token and what only the broker's own jobs need to know.
struct TokenRecord {
  Token token;  // A PENDING one whose revocation was asked for has state kRevoking here: so every reader sees it.
  bool pending = false;           // The row's own state is PENDING.
  bool revoke_requested = false;  // On PENDING: the create is to end in a revocation.
  WallTime give_up_time;          // After it, the POST's answer is too late.
  std::optional<WallTime> last_look;
  std::string role;     // That granted it; empty if it was taken in.
  int attempts = 0;     // That failed in a row; from one again when the row is parked.
  bool parked = false;  // Cannot be proved dead; tried at growing intervals, up to an hour.
  std::optional<WallTime> next_attempt_time;
};

// The caller's key for "once".
struct RequestKey {
  std::string request_id;  // UUID.
  std::string digest;      // Of the method and the canonical parameters.
  bool operator==(const RequestKey&) const = default;
};

struct RequestRecord {
  RequestKey key;
  WallTime first_attempt_time;
  TokenRecord current;  // The token that the last attempt made.
};

// Why something is allowed, for the audit.
struct Grounds {
  std::string role;
  std::string policy_version;
  std::string would_have = {};  // What rules in audit mode would have decided; empty if they would not differ.
  std::string request = {};     // As AuditedRequestJson (server/policy/audited_request.h) writes it; may be empty.
};

// A token to be, as Begin writes it. `token` has no state, times or upstream facts but what is said here.
struct IntentSpec {
  Token token;  // id, owner (and how it was recognised), display_name, purpose, target, scopes, access_level, labels,
                // upstream_name.
  std::optional<Duration> ttl;          // Exactly one of ttl (from create_time)
  std::optional<WallTime> expire_time;  // and expire_time.
  std::optional<RequestKey> request;
  // The token of this request that Begin may replace: what FindRequest returned. If the record says otherwise by now,
  // Begin answers ABORTED, reason CREATE_IN_PROGRESS.
  std::optional<TokenId> replaces;
  Grounds grounds;
  QuotaLimits limits;  // Of grounds.role.
};

// What GitLab's 201 said.
struct MadeUpstream {
  std::int64_t id = 0;
  std::int64_t user_id = 0;
  std::string name;
  std::optional<Date> expire_date;
};

// How proof of death was had.
// kAnotherToken: GitLab was restored and has given its number to another one.
enum class Proof { kDeleted, kSeenRevoked, kAbsent, kUpstreamMidnight, kAnotherToken };
std::string_view NameOf(Proof proof);

struct ListQuery {
  std::string caller;                // Who asks: lists take turns between callers.
  std::optional<std::string> owner;  // Nothing: everybody's tokens.
  bool show_closed = false;          // Closed ones as well; without it a term on a closed state finds nothing.
  std::vector<TokenTerm> terms;      // All of them hold.
  ListOrder order;
  std::optional<ListPosition> after;  // Only tokens behind this place.
  int limit = 50;                     // Tokens at most.
  int max_rows = 1000;                // Tokens looked at at most, whether they match or not.
  // The list ends before its tokens take more bytes in a message (see MessageBytes); it has one at least.
  std::size_t max_bytes = std::size_t{3} << 20;
  // Asked about every token that matches otherwise; may be empty. Called on a thread of the ledger's.
  std::function<bool(const Token&)> visible;
};

struct TokenList {
  std::vector<Token> tokens;
  std::size_t bytes = 0;  // The sum of their MessageBytes.
  // Where to go on; nothing if there are no more. If `max_rows` ended the search it is the place of a token that is not
  // in the list and may not be visible.
  std::optional<ListPosition> next;
};

// A living token that a list at GitLab showed, with a marker of ours.
struct SeenToken {
  MadeUpstream upstream;
  TokenId marked;  // The id in its marker.
  std::optional<WallTime> last_used_time;
};

// Why no row explains a living token: none has its marker's id; that row is ABANDONED, and no look is to come; that row
// is ACTIVE with another token; its own row, or that one, was closed before the list was asked for.
enum class StrangerKind { kNoRow, kAbandoned, kSecond, kClosed };
std::string_view NameOf(StrangerKind kind);
std::optional<StrangerKind> ParseStrangerKind(std::string_view name);

struct Stranger {
  std::size_t index = 0;  // In what was given to RecordSeen.
  TokenId marked;
  StrangerKind kind = StrangerKind::kNoRow;
  std::optional<TokenRecord> row;  // Its own, or that of its marker's id.
};

// A live token at GitLab with the broker's tag that no row explains, as it is listed for the operator.
struct UnknownToken {
  MadeUpstream upstream;
  TokenId marked;  // The id in its marker.
  StrangerKind kind = StrangerKind::kNoRow;
  std::vector<std::string> scopes;
  int access_level = 0;
  WallTime create_time;  // GitLab's.
  std::optional<WallTime> last_used_time;
  WallTime find_time;

  // From the row with the marker's id, or from GitLab; what is empty is not known.
  std::optional<ResolvedTarget> target;
  std::string owner;
  std::string purpose;
  std::optional<WallTime> expire_time;

  // Whether it may become ACTIVE: not if its row has ended, since a revocation is never taken back; nor without a
  // target.
  bool adoptable() const { return kind != StrangerKind::kClosed && target.has_value(); }
};

struct UnknownList {
  std::vector<UnknownToken> tokens;  // By upstream id.
  std::int64_t total = 0;            // In all.
  std::optional<WallTime> pass;      // When the newest pass over GitLab's lists began; nothing: none yet.
};

// A stranger that whoever runs the broker wants a row for.
struct TakeInSpec {
  Token token;  // Id (of the marker), owner, display_name, purpose, target, scopes, access_level, create_, expire_time.
  MadeUpstream made;
  std::string actor;    // The caller who wants it.
  bool revoke = false;  // REVOKING (ORPHAN), not ACTIVE.
};

// Where a reader of the audit is: after this record.
struct AuditPosition {
  std::string writer;
  std::int64_t seq = 0;
};

struct AuditQuery {
  std::string caller;  // Who asks: exports and lists take turns between callers.
  std::optional<AuditPosition> after;
  // Of each writer only what comes from its first record of this time or later on, without a gap.
  std::optional<WallTime> from_time;
  int limit = 500;
};

// Where a reader of ListDue is: after this row.
struct DuePosition {
  int due_class = 0;
  WallTime time;
  std::string owner;
  std::int64_t row = 0;
};

struct DueList {
  std::vector<TokenRecord> rows;
  std::optional<DuePosition> next;  // std::nullopt: these were the last.
};

// A caller was refused; kept for the audit in bounded number.
struct Refusal {
  std::string caller;
  std::string method;
  std::string reason;
  std::string detail;  // The request's target and scopes in words; no secret.
  std::string policy_version;
  std::string decision_id = {};  // That the caller was told, too.
  std::string would_have = {};   // What rules in audit mode would have decided; empty if they would not differ.
  std::string closest = {};      // What the closest request that would be allowed has otherwise; empty: none.
  std::string request = {};      // As in Grounds.
};

// Thread-safe. Tasks go on on the executor that the ledger was made with; none can be cancelled. No verb waits for a
// list, an export, a count or a scan (List, ReadAudit, Count, ListUnseen, ListUnknown, ActiveTargets), but these for
// each other. The clock is the ledger's: for SQLite the host's wall clock. Failures are UNAVAILABLE, reason
// LEDGER_UNAVAILABLE (nothing was promised), ABORTED, reason CREATE_IN_PROGRESS, INVALID_ARGUMENT, reason
// REQUEST_ID_REUSED, or NOT_FOUND without a reason; never INTERNAL. A write whose COMMIT has an unknown outcome is read
// again inside the ledger before it answers.
class Ledger {
 public:
  virtual ~Ledger() = default;

  virtual WallTime Now() const = 0;

  // --- The life of a token ---

  // Writes the token as PENDING with give_up_time = now + kGiveUpAfter, its request record, and, if the request's
  // current token was ACTIVE, that one as REVOKING (SUPERSEDED). The request's current token is the new one's
  // predecessor, and the new one its successor. Durable on return. INVALID_ARGUMENT if expire_time is
  // not after now. RESOURCE_EXHAUSTED as CheckQuota says. The one way to a
  // DurableIntent.
  virtual Task<absl::StatusOr<DurableIntent>> Begin(IntentSpec spec) = 0;

  // PENDING -> ACTIVE if the row is still PENDING, no revocation was asked for and now < give_up_time; else, in the
  // same transaction, -> REVOKING with the upstream facts at hand (LATE_REPLY, or REQUESTED). `expire_time`: where
  // GitLab shortened it. The token that comes back says which. An open row with the same upstream id and another name
  // is closed by it: GitLab was restored, and that token is gone. Durable.
  virtual Task<absl::StatusOr<Token>> Activate(TokenId id, MadeUpstream made, WallTime expire_time) = 0;

  // PENDING -> ABANDONED, closed: GitLab refused for certain. Durable.
  virtual Task<absl::Status> Abandon(TokenId id, std::string why) = 0;

  // PENDING, ACTIVE or ABANDONED -> REVOKING. `made`: what is known of the token at GitLab, if the row has it not. A
  // row that is REVOKING or closed otherwise stays as it is; a token in `made` that no row knows gets one of its own
  // (REVOKING, ORPHAN), here as in Activate and RecordLook. Durable; answers with the row as it is then.
  virtual Task<absl::StatusOr<Token>> StartRevoking(TokenId id, RevokeReason reason,
                                                    std::optional<MadeUpstream> made) = 0;

  // A caller's wish: ACTIVE -> REVOKING (REQUESTED), PENDING gets the flag, everything else stays. Durable.
  virtual Task<absl::StatusOr<TokenRecord>> RequestRevocation(TokenId id, std::string caller) = 0;

  // The policy does not grant it any more, and `caller`, who runs the broker, wants it gone: ACTIVE -> REVOKING
  // (POLICY), everything else stays. `why` is for the audit. Durable.
  virtual Task<absl::StatusOr<TokenRecord>> RevokeForPolicy(TokenId id, std::string caller, std::string why) = 0;

  // REVOKING -> EXPIRED if the reason is TTL, else -> REVOKED; ACTIVE -> REVOKED (UPSTREAM). A row that a look had
  // found something for keeps its later looks: a POST may have been carried out twice. One whose scopes are
  // self-extending, and a user's, is due for a sweep two minutes later, for a descendant that was under way. Durable.
  virtual Task<absl::StatusOr<Token>> RecordDeath(TokenId id, Proof proof) = 0;

  // An attempt that reached no end: REVOKING without confirmation, or a sweep that could not be made of a row that is
  // PENDING or has ended with sweeps to come. When to try again, and whether the row is parked (one that has ended
  // never is); the first attempt that parks it counts as the first. A sweep that is made later takes it back. Not
  // awaited by any promise.
  virtual Task<absl::Status> RecordAttempt(TokenId id, WallTime next_attempt_time, bool parked, std::string why) = 0;

  // A look at GitLab that began at `began` found these living tokens with the row's marker. None: the row waits for its
  // next look, or is closed as ABANDONED (see LookMayClose; later looks may still come). Some: the first under this
  // row, any further one under a row of its own, all REVOKING (ORPHAN). A row that is closed otherwise stays so; what
  // is found for it gets a row of its own. Returns the ids of the rows to revoke now. Durable.
  virtual Task<absl::StatusOr<std::vector<TokenId>>> RecordLook(TokenId id, WallTime began,
                                                                std::vector<MadeUpstream> found) = 0;

  // Writes last_used_time and reconcile_time of the open rows of exactly these tokens (number and name). Returns the
  // ones that no row explains, though the list was asked for at `listed`; what a create or a look is still at work on
  // is not among them. Durable.
  virtual Task<absl::StatusOr<std::vector<Stranger>>> RecordSeen(std::string instance, std::vector<SeenToken> seen,
                                                                 WallTime listed) = 0;

  // Keeps unknown tokens that the pass that began at `pass` found in GitLab's list `list` (a name of the caller's;
  // empty: the instance's). One that was known keeps its find_time, and its target unless `found` has one. Returns the
  // upstream ids of those that are new. What has an open row by now is left out. Durable.
  virtual Task<absl::StatusOr<std::vector<std::int64_t>>> RecordUnknown(std::string instance, std::string list,
                                                                        WallTime pass,
                                                                        std::vector<UnknownToken> found) = 0;
  // The pass that began at `pass` has read these lists to their ends: what was found in them and not by it is forgotten
  // (with the instance's list: whatever it did not find). Returns how many unknown tokens there are. Durable.
  virtual Task<absl::StatusOr<std::int64_t>> EndPass(std::string instance, WallTime pass,
                                                     std::vector<std::string> lists) = 0;

  // A row of its own (REVOKING, ORPHAN) for a token that was made beside the one of row `id`, unless it has one.
  // Durable.
  virtual Task<absl::Status> KeepStray(TokenId id, MadeUpstream made) = 0;

  // Strangers get rows, ACTIVE or REVOKING: an ABANDONED row of the marker's id comes back (REVOKING if its revocation
  // was asked for), where none is a new one takes the marker's id, else it gets an id of its own. All or none:
  // FAILED_PRECONDITION, reason TOKEN_NOT_ADOPTABLE, if the row of one has ended (and it is not to be revoked) or looks
  // are still to come. One that has an open row already stays as it is. They are unknown no more. Durable.
  virtual Task<absl::StatusOr<std::vector<Token>>> TakeIn(std::vector<TakeInSpec> specs) = 0;

  // --- Reading ---

  // Whether Begin would find room for one more token of this caller under this role; `gives_way`: the token that it
  // would replace takes no place. RESOURCE_EXHAUSTED, reason QUOTA_EXCEEDED, with how many places are taken by tokens
  // whose end is still unknown, and until when; or reason RATE_EXCEEDED, with when there will be room. Binds nobody.
  virtual Task<absl::Status> CheckQuota(std::string owner, std::string role, QuotaLimits limits,
                                        std::optional<TokenId> gives_way) = 0;

  virtual Task<absl::StatusOr<TokenRecord>> Get(TokenId id) = 0;
  // Terms on owner and state are ranges of an index under either order, those on target, scopes and labels in the order
  // of create_time, those on a time in its own order. With the other order they still are if no more than `max_rows`
  // tokens lie in that range; else the terms are compared along the order.
  virtual Task<absl::StatusOr<TokenList>> List(ListQuery query) = 0;
  // Nothing if there is no record of the last 24 h; INVALID_ARGUMENT, reason REQUEST_ID_REUSED, if its digest differs.
  virtual Task<absl::StatusOr<std::optional<RequestRecord>>> FindRequest(std::string caller, RequestKey key) = 0;
  // Tokens by state, for the metrics; and how many are parked.
  struct Counts {
    std::map<TokenState, std::int64_t> by_state;
    std::int64_t parked = 0;
  };
  virtual Task<absl::StatusOr<Counts>> Count() = 0;

  // ACTIVE rows from before `since` that RecordSeen has not written since then, the stalest first; by a clock that was
  // set back a row may be from after now, which was before `since`, too.
  virtual Task<absl::StatusOr<std::vector<TokenRecord>>> ListUnseen(WallTime since, int skip, int limit) = 0;
  // The upstream ids of those among these tokens (number and name) that are ACTIVE rows'.
  virtual Task<absl::StatusOr<std::vector<std::int64_t>>> ActiveAmong(std::string instance,
                                                                      std::vector<MadeUpstream> tokens) = 0;
  // Up to `limit` unknown tokens with upstream ids above `after`.
  virtual Task<absl::StatusOr<UnknownList>> ListUnknown(std::string instance, std::int64_t after, int limit) = 0;
  // Those of these upstream ids that are unknown tokens.
  virtual Task<absl::StatusOr<std::vector<UnknownToken>>> FindUnknown(std::string instance,
                                                                      std::vector<std::int64_t> ids) = 0;
  // The targets of ACTIVE rows, each once, in an order of their own.
  virtual Task<absl::StatusOr<std::vector<ResolvedTarget>>> ActiveTargets(std::optional<ResolvedTarget> after,
                                                                          int limit) = 0;
  // Whether GitLab is known to have been restored from a backup: Activate has met an upstream id below that of a token
  // more than an hour older. Numbers may stand for other tokens since. Never waits.
  virtual bool UpstreamRestored() const = 0;

  // One page of the audit in the order of (writer, seq); fewer than `limit` records are the last ones. A read of its
  // own: whoever takes long between two pages holds nothing.
  virtual Task<absl::StatusOr<std::vector<AuditRecord>>> ReadAudit(AuditQuery query) = 0;

  // --- The broker's own work ---

  // Takes up to `limit` rows whose next_attempt_time has come and puts that time 30 s on, so that nobody else takes
  // them meanwhile: ACTIVE ones past expire_time (they are REVOKING, TTL, on return), REVOKING ones, looks. Deletions
  // that a caller asked for come first, then expiry, then looks; oldest first, in turn between callers.
  virtual Task<absl::StatusOr<std::vector<TokenRecord>>> ClaimDue(int limit) = 0;
  // When the next row will be due; nothing if none waits.
  virtual Task<absl::StatusOr<std::optional<WallTime>>> NextDue() = 0;
  // Up to `limit` of the deletions that ClaimDue would claim now, as they are and without claiming them: for when the
  // ledger can be read and not written. Class by class, oldest first, not in turn between callers.
  virtual Task<absl::StatusOr<DueList>> ListDue(std::optional<DuePosition> after, int limit) = 0;

  // The ledger's clock went back: times that were written before it did may be ahead by the step. No row waits longer
  // for its next attempt than it could have been made to wait now: REVOKING rows are due at once, sweeps as NextLook
  // says. Intents end at the latest kGiveUpAfter from now, and earlier creates count for no rate. The expire_time of a
  // token stays. Done at every start as well. Durable.
  virtual Task<absl::Status> BoundWaits() = 0;

  // Counts the refusal now and writes it with the next batch; never waits.
  virtual void NoteRefusal(Refusal refusal) = 0;

 protected:
  static DurableIntent MakeIntent(Token token, BootTime begun) { return {std::move(token), begun}; }
};

}  // namespace tokenbroker
