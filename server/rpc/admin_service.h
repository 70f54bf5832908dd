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

  grpc::ServerUnaryReactor* ListUnknownTokens(grpc::CallbackServerContext* context,
                                              const v1::ListUnknownTokensRequest* request,
                                              v1::ListUnknownTokensResponse* response) override;
  grpc::ServerUnaryReactor* AdoptTokens(grpc::CallbackServerContext* context, const v1::AdoptTokensRequest* request,
                                        v1::AdoptTokensResponse* response) override;
  grpc::ServerUnaryReactor* RevokeUnknownTokens(grpc::CallbackServerContext* context,
                                                const v1::RevokeUnknownTokensRequest* request,
                                                v1::RevokeUnknownTokensResponse* response) override;
  grpc::ServerUnaryReactor* ListPolicyViolations(grpc::CallbackServerContext* context,
                                                 const v1::ListPolicyViolationsRequest* request,
                                                 v1::ListPolicyViolationsResponse* response) override;
  grpc::ServerUnaryReactor* RevokePolicyViolations(grpc::CallbackServerContext* context,
                                                   const v1::RevokePolicyViolationsRequest* request,
                                                   v1::RevokePolicyViolationsResponse* response) override;

 private:
  const Reception& reception_;
};

}  // namespace tokenbroker
