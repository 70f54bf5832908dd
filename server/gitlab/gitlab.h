#pragma once
// The one door to one GitLab instance.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/base/secret.h"
#include "server/base/task.h"
#include "server/base/time_text.h"
#include "server/domain/durable_intent.h"
#include "server/domain/target.h"
#include "server/domain/upstream_time.h"

namespace tokenbroker {

// A call that changes GitLab ends in one of three ways: done (T), or one of two kinds of not.
struct Refused {
  absl::Status why;  // GitLab said no, or nothing was sent: for certain, nothing was changed.
  // Mint only: GitLab rejected the token's date as too late, and this is the last one that it allows.
  std::optional<Date> latest_date = std::nullopt;
};
struct Unknown {
  absl::Status why;  // It may have happened: look for it, never repeat a POST.
};
template <typename T>
using Ended = std::variant<T, Refused, Unknown>;

// A token as GitLab lists it. Never with its secret.
struct UpstreamToken {
  std::int64_t id = 0;
  std::int64_t user_id = 0;
  std::string name;
  std::string description;  // Empty where GitLab keeps none.
  std::vector<std::string> scopes;
  bool revoked = false;
  bool active = false;   // Neither revoked nor expired, by GitLab's clock.
  int access_level = 0;  // Project and group tokens.
  // A project's or group's token, where the response names what it is for: "project" and its id. Empty, 0: it does not.
  std::string resource_type;
  std::int64_t resource_id = 0;
  WallTime created_at;
  std::optional<Date> expires_at;
  std::optional<WallTime> last_used_at;
};

// What a POST is to ask for.
struct MintSpec {
  ResolvedTarget target;
  std::string name;         // With the marker.
  std::string description;  // At most 255 characters.
  std::vector<std::string> scopes;
  int access_level = 0;
  Date expires_at;
};

struct Minted {
  UpstreamToken token;  // As the answer has it: what is wrong with it is for the caller to see.
  Secret secret;
};

// Where a token of ours is.
struct UpstreamRef {
  ResolvedTarget target;
  std::int64_t token_id = 0;
  std::int64_t user_id = 0;  // The bot of a project token; 0 if it is not known.
};

// Which tokens to list.
struct UpstreamQuery {
  ResolvedTarget target;
  std::int64_t user_id = 0;  // Only this user's; 0: any. For a user target it is the target's id.
  std::string search;        // Part of the name, without case; empty: any. No blanks.
  std::optional<WallTime> created_after;
  bool active_only = false;  // Else all that are not revoked.
  // Everybody's tokens, whatever the target: ISSUER_NOT_ALLOWED unless the issuer proves to be an administrator.
  bool whole_instance = false;
  int limit = 0;  // Only so many, the oldest by created_at, in that order. A hundred cost one call. 0: all.
};

// Who the broker itself is at GitLab.
struct IssuerFacts {
  std::int64_t user_id = 0;
  std::string username;
  bool is_admin = false;       // With admin mode satisfied, proved by an administrator's GET.
  bool is_admin_known = true;  // False: that GET had no response of GitLab's; is_admin is what it was before, or false.
  std::int64_t token_id = 0;
  std::vector<std::string> scopes;
  std::optional<Date> expires_at;
  std::string gitlab_version;
  std::optional<int> max_lifetime_days;  // The instance's longest life of a token, where an administrator reads it.
};

// Thread-safe. Tasks go on on the executor that the adapter was made with. Reads end at call.deadline() and honour
// cancellation. A change ends by the adapter's own limit (60 s); call.deadline() decides only whether it is sent, and
// nothing cancels it once it was handed over. Failures carry a reason (server/base/error.h):
//   UPSTREAM_UNAVAILABLE (UNAVAILABLE)            no connection, no response, 5xx, a read-only GitLab, not JSON, or any
//                                                 status (a success too) without X-Gitlab-Meta: GitLab did not write it
//   UPSTREAM_RATE_LIMITED (RESOURCE_EXHAUSTED)    429; with RetryAfter
//   UPSTREAM_INVALID (INVALID_ARGUMENT)           400 or 422 on a value, in GitLab's words; with the field if known
//   UPSTREAM_NOT_FOUND (NOT_FOUND)                404
//   ISSUER_NOT_ALLOWED (FAILED_PRECONDITION)      the issuer may not do this
//   ISSUER_DEAD (UNAVAILABLE)                     the issuer's credential is revoked or expired; with RetryAfter
//   TARGET_MOVED (FAILED_PRECONDITION)            a redirect, or GitLab's answer for a moved project
//   TARGET_KIND_NOT_SUPPORTED (FAILED_PRECONDITION)
class GitLab {
 public:
  virtual ~GitLab() = default;

  // Sends one POST for an intent that the ledger holds durably, and uses it up. Refused without sending if the intent
  // was begun more than kSendWindow ago.
  virtual Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) = 0;

  // DELETE by id. GitLab answers 204 also for a token that is revoked already. A Refused NOT_FOUND confirms nothing,
  // see ConfirmNotFound.
  struct Deleted {};
  virtual Task<Ended<Deleted>> Revoke(CallContext call, UpstreamRef ref) = 0;

  // GET by id; std::nullopt if GitLab answers 404 (or a non-administrator's 401 for "not yours or absent"), which says
  // nothing about the token, see ConfirmNotFound.
  virtual Task<absl::StatusOr<std::optional<UpstreamToken>>> GetToken(CallContext call, UpstreamRef ref) = 0;

  // Asks again by id, and returns true if GitLab answers 404 while the same credential proves on the same route that it
  // would see the token: an administrator (by a GET that is an administrator's alone) asks /personal_access_tokens/:id,
  // which shows every token; any other credential asks the project's route, the project must answer 200, and the
  // token's bot user must be gone, since a bot that only lost its membership hides a live token. The primary may know
  // the token all the same where a replica lags: the 404 confirms a revocation only when NotFoundMayConfirm
  // (server/domain/expiry.h) allows it.
  virtual Task<absl::StatusOr<bool>> ConfirmNotFound(CallContext call, UpstreamRef ref) = 0;

  // Every page. A token that is absent from it may exist all the same: a replica may lag, a POST may still be at work.
  virtual Task<absl::StatusOr<std::vector<UpstreamToken>>> ListTokens(CallContext call, UpstreamQuery query) = 0;

  // Resolves what a caller wrote. UPSTREAM_NOT_FOUND if it does not exist or cannot be seen.
  virtual Task<absl::StatusOr<TargetFacts>> Resolve(CallContext call, Target target) = 0;

  // Whose a user's tokens are: the project whose bot it is, else the user itself. UPSTREAM_NOT_FOUND.
  virtual Task<absl::StatusOr<ResolvedTarget>> TargetOf(CallContext call, std::string instance,
                                                        std::int64_t user_id) = 0;

  // Asks GitLab who the issuer is.
  virtual Task<absl::StatusOr<IssuerFacts>> CheckIssuer(CallContext call) = 0;

  // GitLab's clock, from the Date header of the newest response that GitLab itself wrote; std::nullopt before the
  // first.
  virtual std::optional<UpstreamTime> Time() const = 0;
};

}  // namespace tokenbroker
