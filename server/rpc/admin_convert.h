#pragma once
// Between AdminService's messages and the house's own nouns; see convert.h.

#include "absl/status/statusor.h"
#include "server/broker/broker.h"
#include "tokenbroker/v1/admin_service.pb.h"

namespace tokenbroker {

// INVALID_ARGUMENT, reason FIELD_INVALID, with the field that is wrong.
absl::StatusOr<AuditQuery> ToAuditQuery(const v1::ExportAuditRequest& request);

void FromAuditRecord(const AuditRecord& record, v1::AuditRecord& out);

}  // namespace tokenbroker
