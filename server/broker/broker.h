#pragma once
// What a caller can have done, one method a use case, and the jobs that keep the promises when nobody calls.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/base/random.h"
#include "server/base/secret.h"
#include "server/base/task.h"
#include "server/base/task_scope.h"
#include "server/broker/findings.h"
#include "server/domain/caller.h"
#include "server/domain/target.h"
#include "server/domain/token.h"
#include "server/gitlab/gitlab.h"
#include "server/gitlab/slots.h"
#include "server/ledger/ledger.h"
#include "server/policy/policy.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

// What CreateToken asks for. The broker checks every field; field names in errors are those of the public API
// ("token.display_name").
struct CreateRequest {
  std::string display_name;
  std::string purpose;
  Target target;
  std::vector<std::string> scopes;
  int access_level = 0;
  std::map<std::string, std::string> labels;
  std::optional<Duration> ttl;          // Exactly one of ttl
  std::optional<WallTime> expire_time;  // and expire_time.
  std::string request_id;               // An UUID of version 4, or empty.
  bool validate_only = false;
};

struct Created {
  Token token;    // Without an id if validate_only.
  Secret secret;  // Empty if validate_only.
};

// What CheckAccess asks for. For read and revoke only the request's target counts, for reconcile and audit nothing of
// it.
struct AccessQuestion {
  Verb verb = Verb::kCreate;
  CreateRequest request;
};

struct AccessAnswer {
  bool allowed = false;
  std::string decision_id;  // In the log and, for a denial, in the audit.
  std::string reason;       // "GRANTED", "NOT_GRANTED", "TARGET_FORBIDDEN".
  std::string message;      // What a create would be told; empty if it is allowed.
  RuleName rule;            // The grant that covers it; empty for a denial. Of the file's path only the name.
  std::optional<CreateRequest> closest;
  std::string policy_version;
};

// What ListTokens asks for; filter and order_by as the public API writes them.
struct ListRequest {
  int page_size = 0;
  std::string page_token;
  bool show_closed = false;
  std::string filter;
  std::string order_by;
};

struct ListPage {
  std::vector<Token> tokens;
  std::string next_page_token;
};

// The most unknown tokens that one call adopts or revokes: its response holds as many tokens.
inline constexpr int kMostUnknownAtOnce = 250;

// Which unknown tokens to adopt, or to revoke: exactly those listed, or all (of the adoptable ones); not more than
// kMostUnknownAtOnce. FAILED_PRECONDITION, reason COUNT_DIFFERS, if they are not as many.
struct UnknownChoice {
  std::vector<std::int64_t> upstream_ids;  // Empty: all; then expected_count is required.
  std::optional<int> expected_count;
  bool revoke = false;
};

// An ACTIVE token that today's policy would not grant.
struct PolicyViolation {
  Token token;
  std::string detail;  // What is missing, or which rule denies it.
};

struct ViolationPage {
  std::vector<PolicyViolation> violations;
  std::string next_page_token;
  std::string policy_version;
};

struct CallerView {
  Caller caller;
  std::vector<GrantView> grants;
  std::string policy_version;
};

class SteadyClock;

// What the broker stands on. All of it outlives the broker.
struct BrokerParts {
  Executor& executor;
  Clock& clock;
  Random& random;
  Ledger& ledger;
  GitLab& gitlab;
  Slots& slots;
  const PolicySource& policies;
  Metrics& metrics;
  Log& log;
  SteadyClock* steady_clock = nullptr;  // The broker's own; set by its constructor.
};

struct BrokerOptions {
  std::string name;      // In every marker; see IsBrokerName.
  std::string instance;  // The GitLab instance's name in targets.
  Duration settle = minutes(10);
  // Of what GitLab said of a target, at the decision on a create: 0 (asked for by each call) to 60 s.
  Duration facts_max_age = seconds(10);
  // From the beginning of one walk of the reconciler to that of the next, and the calls it may make.
  Duration reconcile_every = minutes(10);
  int reconcile_calls_per_minute = 60;
};

// Thread-safe: every method may be called from any thread; its work runs on the executor.
//
// The tasks belong to the caller; whoever must not be left half-done by a caller's leaving runs in `scope()`. Create is
// such: spawn it there and let the RPC wait for the result (server/rpc/unary.h does).
class Broker {
 public:
  Broker(BrokerParts parts, BrokerOptions options);
  ~Broker();

  // Use cases. Errors are those of the public API, see proto/tokenbroker/v1/token_service.proto.
  Task<absl::StatusOr<Created>> Create(CallContext call, Caller caller, CreateRequest request);
  Task<absl::StatusOr<Token>> Get(Caller caller, TokenId id);
  Task<absl::StatusOr<ListPage>> List(Caller caller, ListRequest request);
  Task<absl::StatusOr<Token>> Revoke(CallContext call, Caller caller, TokenId id);
  CallerView GetCaller(const Caller& caller) const;
  // What the policy would say. Whatever else stands against a create fails as it does there.
  Task<absl::StatusOr<AccessAnswer>> CheckAccess(CallContext call, Caller caller, AccessQuestion question);

  // For AdminService. One page of the audit, see Ledger::ReadAudit; NOT_GRANTED without the verb audit.
  Task<absl::StatusOr<std::vector<AuditRecord>>> ReadAudit(Caller caller, AuditQuery query);

  // The same; NOT_GRANTED without the verb reconcile.
  // Up to `limit` unknown tokens with ids at GitLab above `after`.
  Task<absl::StatusOr<Findings>> ListUnknown(Caller caller, std::int64_t after = 0, int limit = 100'000);
  Task<absl::StatusOr<std::vector<Token>>> TakeInUnknown(CallContext call, Caller caller, UnknownChoice choice);
  Task<absl::StatusOr<ViolationPage>> ListViolations(Caller caller, int page_size, std::string page_token);
  // All of them are checked before the first is revoked: FAILED_PRECONDITION, reason TOKEN_CHANGED, if one is no
  // violation (any more).
  Task<absl::StatusOr<std::vector<Token>>> RevokeViolations(Caller caller, std::vector<TokenId> ids);

  // Where the work of calls lives; a drain waits for it.
  TaskScope& scope();

  // Starts the jobs: expiry, revocation retries, looks, reconciliation. Once.
  void StartLifecycle();
  // The ledger's clock went back: what waits is bounded by Ledger::BoundWaits. On the executor only.
  void ClockWentBack();
  // Takes no new work of its own, and waits up to `patience` for what runs. True if all of it ended.
  bool Drain(Duration patience);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tokenbroker
