#pragma once
// Who may have which tokens. Pure: a policy is compiled once and then decides without clock, I/O or memory of before.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/domain/caller.h"
#include "server/domain/caller_rule.h"
#include "server/domain/target.h"
#include "tokenbroker/config/v1/policy.pb.h"

namespace tokenbroker {

enum class Verb { kCreate, kRotate, kRead, kRevoke, kReconcile, kAudit };
std::string_view NameOf(Verb verb);

// What somebody wants to do.
struct AccessRequest {
  Verb verb = Verb::kCreate;
  Target target;  // As written.
  // For create and rotate:
  std::vector<std::string> scopes;
  int access_level = 0;
  Duration ttl{0};
};

// The answer, and on what it rests.
struct Decision {
  // OK; or PERMISSION_DENIED, reason NOT_GRANTED, in words that tell the caller nothing about what exists; or
  // FAILED_PRECONDITION, reason TARGET_FORBIDDEN (an administrator, the issuer, a blocked user), only if the target is
  // covered by a grant.
  absl::Status status;
  std::string role;    // That granted it; empty if none did.
  std::string detail;  // For the log and the audit: which rule decided, and what was missing.
};

// PERMISSION_DENIED, reason NOT_GRANTED: one text for what is not granted, does not exist or cannot be seen, so that
// the answer tells nothing about GitLab.
absl::Status NotGranted();

// Grants as GetCaller shows them.
struct GrantView {
  std::string role;
  std::vector<std::string> verbs, targets, scopes;
  int max_access_level = 0;
  Duration max_ttl{0};
  bool self_extending = false;
};

// What of the server's configuration weakens the rules.
struct PolicyOptions {
  bool allow_admin_targets = false;
};

// Immutable and thread-safe.
class Policy {
 public:
  // `version` is shown to callers and written into every event. Errors are INVALID_ARGUMENT with the field's path in
  // the message ("roles.reader.grants[0].scopes[1]: unknown scope 'read_apy'; did you mean 'read_api'?") and as Field.
  static absl::StatusOr<std::shared_ptr<const Policy>> Compile(const config::v1::Policy& source, std::string version,
                                                               PolicyOptions options);
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

  // Whether a grant of the caller has this verb of AdminService (kReconcile, kAudit), which is about no target.
  virtual Decision DecideAdmin(const Caller& caller, Verb verb) const = 0;

  virtual std::vector<GrantView> GrantsOf(const Caller& caller) const = 0;
};

// Where the newest policy is. Thread-safe; one request takes one snapshot and is judged by it alone.
class PolicySource {
 public:
  virtual ~PolicySource() = default;
  virtual std::shared_ptr<const Policy> Current() const = 0;
};

}  // namespace tokenbroker
