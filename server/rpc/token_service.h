#pragma once
// The handlers of TokenService: who calls, what is asked, ask the broker, answer.

#include <grpcpp/server_context.h>

#include "server/rpc/reception.h"
#include "tokenbroker/v1/token_service.grpc.pb.h"

namespace tokenbroker {

class TokenService final : public v1::TokenService::CallbackService {
 public:
  explicit TokenService(const Reception& reception) : reception_(reception) {}

  grpc::ServerUnaryReactor* CreateToken(grpc::CallbackServerContext* context, const v1::CreateTokenRequest* request,
                                        v1::CreateTokenResponse* response) override;
  grpc::ServerUnaryReactor* GetToken(grpc::CallbackServerContext* context, const v1::GetTokenRequest* request,
                                     v1::Token* response) override;
  grpc::ServerUnaryReactor* ListTokens(grpc::CallbackServerContext* context, const v1::ListTokensRequest* request,
                                       v1::ListTokensResponse* response) override;
  grpc::ServerUnaryReactor* RevokeToken(grpc::CallbackServerContext* context, const v1::RevokeTokenRequest* request,
                                        v1::Token* response) override;
  grpc::ServerUnaryReactor* GetCaller(grpc::CallbackServerContext* context, const v1::GetCallerRequest* request,
                                      v1::GetCallerResponse* response) override;
  grpc::ServerUnaryReactor* CheckAccess(grpc::CallbackServerContext* context, const v1::CheckAccessRequest* request,
                                        v1::CheckAccessResponse* response) override;

 private:
  const Reception& reception_;
};

}  // namespace tokenbroker
