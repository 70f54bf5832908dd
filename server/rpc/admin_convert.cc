#include "server/rpc/admin_convert.h"

#include "absl/strings/escaping.h"
#include "server/base/error.h"
#include "server/rpc/convert.h"

namespace tokenbroker {
namespace {

absl::Status Wrong(const std::string& field, const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID", field + ": " + what).Field(field, what);
}

}  // namespace

absl::StatusOr<AuditQuery> ToAuditQuery(const v1::ExportAuditRequest& request) {
  AuditQuery query;
  if (request.has_after()) {
    if (request.after().writer().empty()) return Wrong("after.writer", "is required");
    if (request.after().seq() < 0) return Wrong("after.seq", "is negative");
    query.after = AuditPosition{request.after().writer(), request.after().seq()};
  }
  if (request.has_from_time()) {
    query.from_time = ToTime(request.from_time());
    if (!query.from_time.has_value()) return Wrong("from_time", "is not a valid google.protobuf.Timestamp");
  }
  return query;
}

void FromAuditRecord(const AuditRecord& record, v1::AuditRecord& out) {
  out.set_writer(record.writer);
  out.set_seq(record.seq);
  FromTime(record.event.time, *out.mutable_time());
  out.set_kind(record.event.kind);
  out.set_token_id(record.event.token_id);
  out.set_caller(record.event.caller);
  out.set_body(record.event.body);
  out.set_previous_hash(absl::BytesToHexString(record.previous_hash));
  out.set_hash(absl::BytesToHexString(record.hash));
}

}  // namespace tokenbroker
