#include "server/rpc/admin_service.h"

#include "server/rpc/admin_convert.h"
#include "server/rpc/audit_stream.h"
#include "server/rpc/convert.h"

namespace tokenbroker {

grpc::ServerWriteReactor<v1::ExportAuditResponse>* AdminService::ExportAudit(grpc::CallbackServerContext* context,
                                                                             const v1::ExportAuditRequest* request) {
  reception_.Note("ExportAudit", *request);
  const std::shared_ptr<AuditStream> stream = AuditStream::Begin(reception_);
  const absl::StatusOr<Caller> caller = reception_.Admit(*context, stream->place());
  if (!caller.ok()) return stream->Fail(caller.status());
  absl::StatusOr<AuditQuery> query = ToAuditQuery(*request);
  if (!query.ok()) return stream->Fail(query.status());
  return stream->Run(*caller, *std::move(query));
}

grpc::ServerUnaryReactor* AdminService::ListUnknownTokens(grpc::CallbackServerContext* context,
                                                          const v1::ListUnknownTokensRequest* request,
                                                          v1::ListUnknownTokensResponse* response) {
  const std::shared_ptr<UnaryCall> call = reception_.Begin(*context, "ListUnknownTokens", *request);
  const absl::StatusOr<Caller> caller = reception_.Admit(*context, call->place());
  if (!caller.ok()) return call->Fail(caller.status());
  const absl::StatusOr<UnknownPage> page = ToUnknownPage(*request);
  if (!page.ok()) return reception_.Refuse(*call, "ListUnknownTokens", *caller, page.status());
  return call->Run<Findings>(
      reception_.broker().scope(), reception_.broker().ListUnknown(*caller, page->after, page->size),
      [response, page = *page](const Findings& findings) { FromFindings(findings, page, *response); },
      reception_.Logged("ListUnknownTokens", *caller));
}

grpc::ServerUnaryReactor* AdminService::AdoptTokens(grpc::CallbackServerContext* context,
                                                    const v1::AdoptTokensRequest* request,
                                                    v1::AdoptTokensResponse* response) {
  const std::shared_ptr<UnaryCall> call = reception_.Begin(*context, "AdoptTokens", *request);
  const absl::StatusOr<Caller> caller = reception_.Admit(*context, call->place());
  if (!caller.ok()) return call->Fail(caller.status());
  return call->Run<std::vector<Token>>(
      reception_.broker().scope(),
      reception_.broker().TakeInUnknown(call->context(), *caller, ToChoice(*request, /*revoke=*/false)),
      [response](const std::vector<Token>& tokens) {
        for (const Token& token : tokens) FromToken(token, *response->add_tokens());
      },
      reception_.Logged("AdoptTokens", *caller));
}

grpc::ServerUnaryReactor* AdminService::RevokeUnknownTokens(grpc::CallbackServerContext* context,
                                                            const v1::RevokeUnknownTokensRequest* request,
                                                            v1::RevokeUnknownTokensResponse* response) {
  const std::shared_ptr<UnaryCall> call = reception_.Begin(*context, "RevokeUnknownTokens", *request);
  const absl::StatusOr<Caller> caller = reception_.Admit(*context, call->place());
  if (!caller.ok()) return call->Fail(caller.status());
  return call->Run<std::vector<Token>>(
      reception_.broker().scope(),
      reception_.broker().TakeInUnknown(call->context(), *caller, ToChoice(*request, /*revoke=*/true)),
      [response](const std::vector<Token>& tokens) {
        for (const Token& token : tokens) FromToken(token, *response->add_tokens());
      },
      reception_.Logged("RevokeUnknownTokens", *caller));
}

grpc::ServerUnaryReactor* AdminService::ListPolicyViolations(grpc::CallbackServerContext* context,
                                                             const v1::ListPolicyViolationsRequest* request,
                                                             v1::ListPolicyViolationsResponse* response) {
  const std::shared_ptr<UnaryCall> call = reception_.Begin(*context, "ListPolicyViolations", *request);
  const absl::StatusOr<Caller> caller = reception_.Admit(*context, call->place());
  if (!caller.ok()) return call->Fail(caller.status());
  return call->Run<ViolationPage>(
      reception_.broker().scope(),
      reception_.broker().ListViolations(*caller, request->page_size(), request->page_token()),
      [response](const ViolationPage& page) { FromViolationPage(page, *response); },
      reception_.Logged("ListPolicyViolations", *caller));
}

grpc::ServerUnaryReactor* AdminService::RevokePolicyViolations(grpc::CallbackServerContext* context,
                                                               const v1::RevokePolicyViolationsRequest* request,
                                                               v1::RevokePolicyViolationsResponse* response) {
  const std::shared_ptr<UnaryCall> call = reception_.Begin(*context, "RevokePolicyViolations", *request);
  const absl::StatusOr<Caller> caller = reception_.Admit(*context, call->place());
  if (!caller.ok()) return call->Fail(caller.status());
  absl::StatusOr<std::vector<TokenId>> ids = ToTokenIds(*request);
  if (!ids.ok()) return reception_.Refuse(*call, "RevokePolicyViolations", *caller, ids.status());
  return call->Run<std::vector<Token>>(
      reception_.broker().scope(), reception_.broker().RevokeViolations(*caller, *std::move(ids)),
      [response](const std::vector<Token>& tokens) {
        for (const Token& token : tokens) FromToken(token, *response->add_tokens());
      },
      reception_.Logged("RevokePolicyViolations", *caller));
}

}  // namespace tokenbroker
