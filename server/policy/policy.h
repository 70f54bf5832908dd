#pragma once
// Who may have which tokens. Pure: a policy is compiled once and then decides without clock, I/O or memory of before.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/domain/caller.h"
#include "server/domain/caller_rule.h"
#include "server/domain/quota.h"
#include "server/domain/target.h"
#include "tokenbroker/config/v1/policy.pb.h"

namespace tokenbroker {

enum class Verb { kCreate, kRotate, kRead, kRevoke, kReconcile, kAudit };
std::string_view NameOf(Verb verb);
std::optional<Verb> ParseVerb(std::string_view name);
bool MakesToken(Verb verb);  // create and rotate.

// What somebody wants to do.
struct AccessRequest {
  Verb verb = Verb::kCreate;
  Target target;  // As written.
  // For create and rotate:
  std::vector<std::string> scopes = {};
  int access_level = 0;
  Duration ttl{0};
  std::string display_name = {};
  std::map<std::string, std::string> labels = {};
  // For rotate: how long ago the first token of the chain was made.
  Duration chain_age{0};
  // The ledger's time, for grants that end. Left out, every one of them has ended.
  WallTime now = WallTime::max();
};

// A grant or a deny.
struct RuleName {
  std::string place = {};     // In the policy: "roles.reader.grants[0]", "denies[2]".
  std::string role = {};      // Empty for a deny.
  std::string position = {};  // "policy.yaml:12:5"; empty if it is not known.
};

// What the answer would have been if the rules in audit mode were in force.
struct WouldHave {
  bool allowed = false;
  RuleName rule;
};

// The answer, and on what it rests.
struct Decision {
  // OK; or PERMISSION_DENIED, reason NOT_GRANTED, in words that tell the caller nothing about what exists; or
  // FAILED_PRECONDITION, reason TARGET_FORBIDDEN (an administrator, the issuer, a blocked user), only if the target is
  // covered by a grant.
  absl::Status status;
  std::string detail = {};  // For the log and the audit: which rule decided, and what was missing.
  RuleName rule = {};       // The grant that covers it, or the deny that hits it; empty if no rule does.
  std::optional<WouldHave> would_have = {};  // Nothing if it would have been the same.
  // What the ledger must count, if it is allowed on GitLab's facts and makes a token. Of several grants that cover a
  // request the one with the widest limits decides: without any first, then by max_active, then by creates_per_minute.
  QuotaLimits limits = {};
};

// PERMISSION_DENIED, reason NOT_GRANTED: one text for what is not granted, does not exist or cannot be seen, so that
// the answer tells nothing about GitLab.
absl::Status NotGranted();

// Grants as GetCaller shows them.
struct GrantView {
  std::string role;
  std::vector<std::string> verbs, targets, scopes;
  int max_access_level = 0;
  Duration min_ttl{0};  // 0: none.
  Duration max_ttl{0};
  bool self_extending = false;
  std::string display_name = {};  // A pattern; empty: any.
  std::map<std::string, std::string> required_labels = {};
  int max_active = 0;
  int creates_per_minute = 0;
  std::optional<WallTime> not_after = {};
  std::optional<Duration> max_chain_age = {};
};

// The names that the server's configuration gives, and that a policy may refer to.
struct KnownNames {
  std::vector<std::string> instances, issuers;
};

// What of the server's configuration a policy depends on.
struct PolicyOptions {
  bool allow_admin_targets = false;
  // Any other instance or issuer in a rule is an error. std::nullopt: the configuration is not at hand, all are taken.
  std::optional<KnownNames> known = {};
};

// Tells where a rule is written, "policy.yaml:12:5", by its place; asked while a policy is compiled.
using RuleLocator = std::function<std::string(const std::string& place)>;

// Immutable and thread-safe.
class Policy {
 public:
  // `version` is shown to callers and written into every event. Errors are INVALID_ARGUMENT with the field's path in
  // the message ("roles.reader.grants[0].scopes[1]: unknown scope 'read_apy'; did you mean 'read_api'?") and as Field.
  static absl::StatusOr<std::shared_ptr<const Policy>> Compile(const config::v1::Policy& source, std::string version,
                                                               PolicyOptions options,
                                                               const RuleLocator& locate = nullptr);
  // Nobody may do anything: what holds while there is no policy.
  static std::shared_ptr<const Policy> DenyAll();

  virtual ~Policy() = default;

  virtual const std::string& version() const = 0;
  virtual const std::vector<CallerRule>& callers() const = 0;

  // Step 1, before GitLab is asked: could any grant of the caller match the request as written? Paths are compared
  // without case; a numeric id could match any grant of its kind, except a user's, which is compared.
  virtual Decision DecideAsWritten(const Caller& caller, const AccessRequest& request) const = 0;
  // Step 2, on GitLab's facts: a grant must match them, and no deny may.
  virtual Decision Decide(const Caller& caller, const AccessRequest& request, const TargetFacts& facts) const = 0;
  // Whether a grant of the caller covers the target as it is written, so that its absence may be told.
  virtual bool CoversAsWritten(const Caller& caller, const AccessRequest& request) const = 0;

  // Whether some grant of the caller may let it do this at the target, whatever the rest of the request says: only then
  // does an explanation look at GitLab.
  virtual bool MayReach(const Caller& caller, const AccessRequest& request) const = 0;

  // Whether a grant of the caller has this verb of AdminService (kReconcile, kAudit), which is about no target.
  virtual Decision DecideAdmin(const Caller& caller, Verb verb, WallTime now) const = 0;

  // For a create or rotate that is denied: the closest request that is allowed, with the fewest fields changed, then
  // the fewest scopes removed, then the longest ttl (if what was asked for is below a grant's min_ttl: the shortest).
  // It never asks for a scope or a level beyond what was asked for; a target is exchanged for one that a grant names in
  // full (the first 100 of them are tried), never for one of which GitLab was asked. `facts`: those of the request's
  // own target, null if it is absent or GitLab was not asked. Nothing if there is no such request.
  virtual std::optional<AccessRequest> Closest(const Caller& caller, const AccessRequest& request,
                                               const TargetFacts* facts) const = 0;

  // Whether some grant of the caller has this verb, whatever else it says: without one, nothing need be looked at.
  virtual bool HasVerbAnywhere(const Caller& caller, Verb verb) const = 0;

  // What the caller may do; grants in audit mode are not among them.
  virtual std::vector<GrantView> GrantsOf(const Caller& caller) const = 0;
};

// Where the newest policy is. Thread-safe; one request takes one snapshot and is judged by it alone.
class PolicySource {
 public:
  virtual ~PolicySource() = default;
  virtual std::shared_ptr<const Policy> Current() const = 0;
};

}  // namespace tokenbroker
