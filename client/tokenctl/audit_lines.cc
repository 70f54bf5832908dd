#include "client/tokenctl/audit_lines.h"

#include <google/protobuf/util/json_util.h>

#include "server/domain/audit_record.h"

namespace tokenbroker::tokenctl {

absl::StatusOr<std::string> AuditLine(const v1::AuditRecord& record) {
  std::string line;
  const auto status = google::protobuf::util::MessageToJsonString(record, &line);
  if (!status.ok()) return absl::InternalError("a record cannot be written as JSON: " + std::string(status.message()));
  return line + "\n";
}

absl::Status ReadAuditLines(std::istream& in,
                            const std::function<absl::Status(const v1::AuditRecord&, std::int64_t line)>& take) {
  std::int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty()) continue;
    v1::AuditRecord record;
    if (!google::protobuf::util::JsonStringToMessage(line, &record).ok() || record.writer().empty() ||
        record.seq() <= 0 || !record.has_time() || !ParseAuditedToken(record.token()).has_value() ||
        !ParseAuditedCaller(record.caller()).has_value()) {
      return absl::InvalidArgumentError("line " + std::to_string(number) + ": is no record of an audit");
    }
    const absl::Status taken = take(record, number);
    if (!taken.ok()) return taken;
  }
  return in.bad() ? absl::DataLossError("the export cannot be read to its end") : absl::OkStatus();
}

}  // namespace tokenbroker::tokenctl
