#include "server/rpc/admin_service.h"

#include "server/rpc/admin_convert.h"
#include "server/rpc/audit_stream.h"

namespace tokenbroker {

grpc::ServerWriteReactor<v1::ExportAuditResponse>* AdminService::ExportAudit(grpc::CallbackServerContext* context,
                                                                             const v1::ExportAuditRequest* request) {
  reception_.Note("ExportAudit", *request);
  const std::shared_ptr<AuditStream> stream = AuditStream::Begin(reception_);
  const absl::StatusOr<Caller> caller = reception_.CallerOf(*context);
  if (!caller.ok()) return stream->Fail(caller.status());
  absl::StatusOr<AuditQuery> query = ToAuditQuery(*request);
  if (!query.ok()) return stream->Fail(query.status());
  return stream->Run(*caller, *std::move(query));
}

}  // namespace tokenbroker
