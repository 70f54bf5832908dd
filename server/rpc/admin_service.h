#pragma once
// The handlers of AdminService.

#include <grpcpp/server_context.h>

#include "server/rpc/reception.h"
#include "tokenbroker/v1/admin_service.grpc.pb.h"

namespace tokenbroker {

class AdminService final : public v1::AdminService::CallbackService {
 public:
  explicit AdminService(const Reception& reception) : reception_(reception) {}

  grpc::ServerWriteReactor<v1::ExportAuditResponse>* ExportAudit(grpc::CallbackServerContext* context,
                                                                 const v1::ExportAuditRequest* request) override;

 private:
  const Reception& reception_;
};

}  // namespace tokenbroker
