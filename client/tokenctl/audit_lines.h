#pragma once
// An export of the audit: a record of it a line, in protobuf's JSON form.

#include <cstdint>
#include <functional>
#include <istream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tokenbroker/v1/admin_service.pb.h"

namespace tokenbroker::tokenctl {

// "{...}\n"
absl::StatusOr<std::string> AuditLine(const v1::AuditRecord& record);

// Calls `take` with each record and its line's number, until it returns a failure; empty lines are passed over.
// INVALID_ARGUMENT, naming the line, for one that is no record; DATA_LOSS if the stream cannot be read to its end.
absl::Status ReadAuditLines(std::istream& in,
                            const std::function<absl::Status(const v1::AuditRecord&, std::int64_t line)>& take);

}  // namespace tokenbroker::tokenctl
