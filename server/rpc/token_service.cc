#include "server/rpc/token_service.h"

#include <string>
#include <utility>

#include "server/rpc/convert.h"

namespace tokenbroker {

grpc::ServerUnaryReactor* TokenService::CreateToken(grpc::CallbackServerContext* context,
                                                    const v1::CreateTokenRequest* request,
                                                    v1::CreateTokenResponse* response) {
  const std::shared_ptr<UnaryCall> call = reception_.Begin(*context, "CreateToken", *request);
  const absl::StatusOr<Caller> caller = reception_.Admit(*context, call->place());
  if (!caller.ok()) return call->Fail(caller.status());
  absl::StatusOr<CreateRequest> create = ToCreateRequest(*request);
  if (!create.ok()) return reception_.Refuse(*call, "CreateToken", *caller, create.status());
  return call->Run<Created>(
      reception_.broker().scope(), reception_.broker().Create(call->context(), *caller, *std::move(create)),
      [response](Created created) {
        FromToken(created.token, *response->mutable_token());
        response->set_secret(created.secret.Reveal().data(), created.secret.Reveal().size());
      },
      reception_.Logged("CreateToken", *caller));
}

grpc::ServerUnaryReactor* TokenService::GetToken(grpc::CallbackServerContext* context,
                                                 const v1::GetTokenRequest* request, v1::Token* response) {
  const std::shared_ptr<UnaryCall> call = reception_.Begin(*context, "GetToken", *request);
  const absl::StatusOr<Caller> caller = reception_.Admit(*context, call->place());
  if (!caller.ok()) return call->Fail(caller.status());
  const absl::StatusOr<TokenId> id = ToTokenId(request->name());
  if (!id.ok()) return reception_.Refuse(*call, "GetToken", *caller, id.status());
  return call->Run<Token>(
      reception_.broker().scope(), reception_.broker().Get(*caller, *id),
      [response](const Token& token) { FromToken(token, *response); }, reception_.Logged("GetToken", *caller));
}

grpc::ServerUnaryReactor* TokenService::ListTokens(grpc::CallbackServerContext* context,
                                                   const v1::ListTokensRequest* request,
                                                   v1::ListTokensResponse* response) {
  const std::shared_ptr<UnaryCall> call = reception_.Begin(*context, "ListTokens", *request);
  const absl::StatusOr<Caller> caller = reception_.Admit(*context, call->place());
  if (!caller.ok()) return call->Fail(caller.status());
  return call->Run<ListPage>(
      reception_.broker().scope(), reception_.broker().List(*caller, ToListRequest(*request)),
      [response](const ListPage& page) {
        for (const Token& token : page.tokens) FromToken(token, *response->add_tokens());
        response->set_next_page_token(page.next_page_token);
      },
      reception_.Logged("ListTokens", *caller));
}

grpc::ServerUnaryReactor* TokenService::RevokeToken(grpc::CallbackServerContext* context,
                                                    const v1::RevokeTokenRequest* request, v1::Token* response) {
  const std::shared_ptr<UnaryCall> call = reception_.Begin(*context, "RevokeToken", *request);
  const absl::StatusOr<Caller> caller = reception_.Admit(*context, call->place());
  if (!caller.ok()) return call->Fail(caller.status());
  const absl::StatusOr<TokenId> id = ToTokenId(request->name());
  if (!id.ok()) return reception_.Refuse(*call, "RevokeToken", *caller, id.status());
  return call->Run<Token>(
      reception_.broker().scope(), reception_.broker().Revoke(call->context(), *caller, *id),
      [response](const Token& token) { FromToken(token, *response); }, reception_.Logged("RevokeToken", *caller));
}

grpc::ServerUnaryReactor* TokenService::GetCaller(grpc::CallbackServerContext* context,
                                                  const v1::GetCallerRequest* request,
                                                  v1::GetCallerResponse* response) {
  const std::shared_ptr<UnaryCall> call = reception_.Begin(*context, "GetCaller", *request);
  const absl::StatusOr<Caller> caller = reception_.Admit(*context, call->place());
  if (!caller.ok()) return call->Fail(caller.status());
  return call->Answer([&] { FromCallerView(reception_.broker().GetCaller(*caller), *response->mutable_caller()); });
}

grpc::ServerUnaryReactor* TokenService::CheckAccess(grpc::CallbackServerContext* context,
                                                    const v1::CheckAccessRequest* request,
                                                    v1::CheckAccessResponse* response) {
  const std::shared_ptr<UnaryCall> call = reception_.Begin(*context, "CheckAccess", *request);
  const absl::StatusOr<Caller> caller = reception_.Admit(*context, call->place());
  if (!caller.ok()) return call->Fail(caller.status());
  absl::StatusOr<AccessQuestion> question = ToAccessQuestion(*request);
  if (!question.ok()) return reception_.Refuse(*call, "CheckAccess", *caller, question.status());
  return call->Run<AccessAnswer>(
      reception_.broker().scope(), reception_.broker().CheckAccess(call->context(), *caller, *std::move(question)),
      [response](const AccessAnswer& answer) { FromAccessAnswer(answer, *response); },
      reception_.Logged("CheckAccess", *caller));
}

}  // namespace tokenbroker
