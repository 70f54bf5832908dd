// What those may do who run the broker: behind verbs of their own.

#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/broker/core.h"

namespace tokenbroker {

absl::Status AdmitAdmin(Core& core, const Caller& caller, std::string_view method, Verb verb) {
  const std::shared_ptr<const Policy> policy = core.parts.policies.Current();
  const Decision decision = policy->DecideAdmin(caller, verb, core.parts.ledger.Now());
  if (decision.status.ok()) {
    NoteWouldHave(core, caller, method, decision, *policy);
    return absl::OkStatus();
  }
  AccessRequest request;
  request.verb = verb;
  const NotedRefusal noted = NoteRefusal(core, caller, method, request, nullptr, decision, *policy);
  return WithMeta(decision.status, "decision_id", noted.id);
}

Task<absl::StatusOr<std::vector<AuditRecord>>> ReadAuditPage(Core* core, Caller caller, AuditQuery query) {
  const absl::Status admitted = AdmitAdmin(*core, caller, "ExportAudit", Verb::kAudit);
  if (!admitted.ok()) co_return admitted;
  query.caller = caller.name;
  co_return co_await core->parts.ledger.ReadAudit(std::move(query));
}

}  // namespace tokenbroker
