#include "server/rpc/token_service.h"

#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/identity/authenticator.h"
#include "server/rpc/convert.h"
#include "server/rpc/message_text.h"
#include "server/rpc/peer.h"

namespace tokenbroker {

grpc::ServerUnaryReactor* TokenService::CreateToken(grpc::CallbackServerContext* context,
                                                    const v1::CreateTokenRequest* request,
                                                    v1::CreateTokenResponse* response) {
  const std::shared_ptr<UnaryCall> call = Begin(*context, "CreateToken", *request);
  const absl::StatusOr<Caller> caller = CallerOf(*context);
  if (!caller.ok()) return call->Fail(caller.status());
  absl::StatusOr<CreateRequest> create = ToCreateRequest(*request);
  if (!create.ok()) return Refuse(*call, "CreateToken", *caller, create.status());
  return call->Run<Created>(
      parts_.broker.scope(), parts_.broker.Create(call->context(), *caller, *std::move(create)),
      [response](Created created) {
        FromToken(created.token, *response->mutable_token());
        response->set_secret(created.secret.Reveal().data(), created.secret.Reveal().size());
      },
      Logged("CreateToken", *caller));
}

grpc::ServerUnaryReactor* TokenService::GetToken(grpc::CallbackServerContext* context,
                                                 const v1::GetTokenRequest* request, v1::GetTokenResponse* response) {
  const std::shared_ptr<UnaryCall> call = Begin(*context, "GetToken", *request);
  const absl::StatusOr<Caller> caller = CallerOf(*context);
  if (!caller.ok()) return call->Fail(caller.status());
  const absl::StatusOr<TokenId> id = ToTokenId(request->name());
  if (!id.ok()) return Refuse(*call, "GetToken", *caller, id.status());
  return call->Run<Token>(
      parts_.broker.scope(), parts_.broker.Get(*caller, *id),
      [response](const Token& token) { FromToken(token, *response->mutable_token()); }, Logged("GetToken", *caller));
}

grpc::ServerUnaryReactor* TokenService::ListTokens(grpc::CallbackServerContext* context,
                                                   const v1::ListTokensRequest* request,
                                                   v1::ListTokensResponse* response) {
  const std::shared_ptr<UnaryCall> call = Begin(*context, "ListTokens", *request);
  const absl::StatusOr<Caller> caller = CallerOf(*context);
  if (!caller.ok()) return call->Fail(caller.status());
  return call->Run<ListPage>(
      parts_.broker.scope(), parts_.broker.List(*caller, ToListRequest(*request)),
      [response](const ListPage& page) {
        for (const Token& token : page.tokens) FromToken(token, *response->add_tokens());
        response->set_next_page_token(page.next_page_token);
      },
      Logged("ListTokens", *caller));
}

grpc::ServerUnaryReactor* TokenService::RevokeToken(grpc::CallbackServerContext* context,
                                                    const v1::RevokeTokenRequest* request,
                                                    v1::RevokeTokenResponse* response) {
  const std::shared_ptr<UnaryCall> call = Begin(*context, "RevokeToken", *request);
  const absl::StatusOr<Caller> caller = CallerOf(*context);
  if (!caller.ok()) return call->Fail(caller.status());
  const absl::StatusOr<TokenId> id = ToTokenId(request->name());
  if (!id.ok()) return Refuse(*call, "RevokeToken", *caller, id.status());
  return call->Run<Token>(
      parts_.broker.scope(), parts_.broker.Revoke(call->context(), *caller, *id),
      [response](const Token& token) { FromToken(token, *response->mutable_token()); }, Logged("RevokeToken", *caller));
}

grpc::ServerUnaryReactor* TokenService::GetCaller(grpc::CallbackServerContext* context,
                                                  const v1::GetCallerRequest* request,
                                                  v1::GetCallerResponse* response) {
  const std::shared_ptr<UnaryCall> call = Begin(*context, "GetCaller", *request);
  const absl::StatusOr<Caller> caller = CallerOf(*context);
  if (!caller.ok()) return call->Fail(caller.status());
  return call->Answer([&] { FromCallerView(parts_.broker.GetCaller(*caller), *response->mutable_caller()); });
}

std::shared_ptr<UnaryCall> TokenService::Begin(const grpc::CallbackServerContext& context, std::string_view method,
                                               const google::protobuf::Message& request) {
  if (parts_.log.Writes(LogLevel::kTrace)) {
    parts_.log.Trace("call", {{"method", method}, {"request", MessageText(request)}});
  }
  return UnaryCall::Begin(context, method, parts_.clock, parts_.metrics);
}

absl::StatusOr<Caller> TokenService::CallerOf(const grpc::CallbackServerContext& context) {
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  const std::shared_ptr<const Policy> policy = parts_.policies.Current();
  absl::StatusOr<Caller> caller =
      auth == nullptr
          ? Error(absl::StatusCode::kUnauthenticated, "IDENTITY_INVALID", "no client certificate was presented")
          : Authenticate(PeerFactsOf(*auth), policy->callers(), parts_.clock.Now());
  if (!caller.ok()) {
    const std::string reason = ReasonOf(caller.status());
    parts_.metrics.AuthenticationFailed(reason);
    parts_.log.Info("caller not recognised",
                    {{"peer", context.peer()}, {"reason", reason}, {"error", std::string(caller.status().message())}});
    // What the log says of the policy is not for one whom the policy does not know.
    if (absl::IsPermissionDenied(caller.status())) {
      return Error(absl::StatusCode::kPermissionDenied, reason,
                   "the client certificate matches no caller of the policy");
    }
  }
  return caller;
}

grpc::ServerUnaryReactor* TokenService::Refuse(UnaryCall& call, std::string method, const Caller& caller,
                                               const absl::Status& status) {
  Logged(std::move(method), caller)(status);
  return call.Fail(status);
}

UnaryCall::OnEnd TokenService::Logged(std::string method, const Caller& caller) {
  return [log = &parts_.log, method = std::move(method), name = caller.name](const absl::Status& status) {
    if (status.ok()) return log->Debug("call ended", {{"method", method}, {"caller", name}, {"code", "OK"}});
    log->Info("call failed", {{"method", method},
                              {"caller", name},
                              {"code", std::string(absl::StatusCodeToString(status.code()))},
                              {"reason", ReasonOf(status)},
                              {"error", std::string(status.message())}});
  };
}

}  // namespace tokenbroker
