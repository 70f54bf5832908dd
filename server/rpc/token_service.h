#pragma once
// The handlers of TokenService: who calls, what is asked, ask the broker, answer.

#include <grpcpp/server_context.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/broker/broker.h"
#include "server/rpc/unary.h"
#include "tokenbroker/v1/token_service.grpc.pb.h"

namespace tokenbroker {

struct TokenServiceParts {
  Broker& broker;
  const PolicySource& policies;
  Clock& clock;
  Metrics& metrics;
  Log& log;
};

class TokenService final : public v1::TokenService::CallbackService {
 public:
  explicit TokenService(TokenServiceParts parts) : parts_(parts) {}

  grpc::ServerUnaryReactor* CreateToken(grpc::CallbackServerContext* context, const v1::CreateTokenRequest* request,
                                        v1::CreateTokenResponse* response) override;
  grpc::ServerUnaryReactor* GetToken(grpc::CallbackServerContext* context, const v1::GetTokenRequest* request,
                                     v1::GetTokenResponse* response) override;
  grpc::ServerUnaryReactor* ListTokens(grpc::CallbackServerContext* context, const v1::ListTokensRequest* request,
                                       v1::ListTokensResponse* response) override;
  grpc::ServerUnaryReactor* RevokeToken(grpc::CallbackServerContext* context, const v1::RevokeTokenRequest* request,
                                        v1::RevokeTokenResponse* response) override;
  grpc::ServerUnaryReactor* GetCaller(grpc::CallbackServerContext* context, const v1::GetCallerRequest* request,
                                      v1::GetCallerResponse* response) override;

 private:
  std::shared_ptr<UnaryCall> Begin(const grpc::CallbackServerContext& context, std::string_view method,
                                   const google::protobuf::Message& request);
  // Who calls: by the certificate, on every call anew.
  absl::StatusOr<Caller> CallerOf(const grpc::CallbackServerContext& context);
  // Ends a call whose request cannot be one.
  grpc::ServerUnaryReactor* Refuse(UnaryCall& call, std::string method, const Caller& caller,
                                   const absl::Status& status);
  // Writes the end of a call into the log.
  UnaryCall::OnEnd Logged(std::string method, const Caller& caller);

  TokenServiceParts parts_;
};

}  // namespace tokenbroker
