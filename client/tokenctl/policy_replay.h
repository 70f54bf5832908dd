#pragma once
// What another policy would have said to what was asked: two policies judge the requests of an audit, and what they
// say differently is kept. Nothing is asked of GitLab: it is taken to know of each target what it knew then.

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "server/base/clock.h"
#include "server/identity/authenticator.h"
#include "server/policy/policy.h"
#include "tokenbroker/v1/admin_service.pb.h"
#include "tokenbroker/v1/audit_body.pb.h"

namespace tokenbroker::tokenctl {

// Requests of one kind that the new policy answers otherwise than the old one.
struct PolicyChange {
  std::string caller;  // As the audit names it.
  std::string what;    // "create project:acme/web read_api", "audit".
  bool loses = false;  // Else it gains.
  // Only the request as written was judged, since GitLab's facts were not known then: the rest is open.
  bool maybe = false;
  std::int64_t times = 0;
  WallTime last_time;
  std::string why;  // By the newest one, what the policy that refuses says; and where the rule is, if one denies.
};

// What became of the records that were given to a PolicyReplay.
struct ReplayCounts {
  std::int64_t requests = 0;         // Judged by both.
  std::int64_t only_counted = 0;     // Refusals beyond those that the audit keeps in full.
  std::int64_t without_request = 0;  // Of brokers that kept requests in words alone, or damaged.
};

// Who called is found anew by the certificate's name, as each policy has its callers. What a bearer token said beyond
// issuer and subject is not in the audit: such a caller keeps the name and the captures that it had, if the policy
// still has a caller of that name. Quotas are not judged. The policies must outlive it.
class PolicyReplay {
 public:
  // `now`: for grants that end.
  PolicyReplay(const Policy& before, const Policy& after, WallTime now);

  // Records of other kinds are passed over.
  void Add(const v1::AuditRecord& record);

  // By caller, then by what was asked.
  std::vector<PolicyChange> changes() const;
  const ReplayCounts& counts() const { return counts_; }

 private:
  struct Side {
    explicit Side(const Policy& the_policy) : policy(the_policy), callers(the_policy.callers(), {}) {}
    const Policy& policy;
    const CallerIndex callers;
  };

  void Judge(const v1::AuditRecord& record, const v1::AuditedRequest& asked);

  const Side before_, after_;
  const WallTime now_;
  ReplayCounts counts_;
  std::map<std::tuple<std::string, std::string, bool, bool>, PolicyChange> changes_;
};

}  // namespace tokenbroker::tokenctl
