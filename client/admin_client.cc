#include "client/admin_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <utility>

#include "client/connection.h"
#include "tokenbroker/v1/admin_service.grpc.pb.h"

namespace tokenbroker {
namespace {

class GrpcAdminClient final : public AdminClient {
 public:
  explicit GrpcAdminClient(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}

  absl::Status ExportAudit(const v1::ExportAuditRequest& request,
                           const std::function<absl::Status(const v1::AuditRecord&)>& take,
                           Deadline deadline) override {
    grpc::ClientContext context;
    context.set_deadline(GrpcDeadline(deadline));
    const auto reader = Stub()->ExportAudit(&context, request);
    v1::ExportAuditResponse response;
    while (reader->Read(&response)) {
      absl::Status taken = take(response.record());
      if (taken.ok()) continue;
      context.TryCancel();
      return taken;
    }
    return FromGrpc(reader->Finish());
  }

  absl::StatusOr<v1::ListUnknownTokensResponse> ListUnknownTokens(Deadline deadline) override {
    return AllPages(&v1::AdminService::Stub::ListUnknownTokens, deadline);
  }

  absl::StatusOr<std::vector<v1::Token>> AdoptTokens(const std::vector<std::int64_t>& upstream_ids,
                                                     Deadline deadline) override {
    return TakeIn(&v1::AdminService::Stub::AdoptTokens, upstream_ids, deadline);
  }

  absl::StatusOr<std::vector<v1::Token>> RevokeUnknownTokens(const std::vector<std::int64_t>& upstream_ids,
                                                             Deadline deadline) override {
    return TakeIn(&v1::AdminService::Stub::RevokeUnknownTokens, upstream_ids, deadline);
  }

  absl::StatusOr<v1::ListPolicyViolationsResponse> ListPolicyViolations(Deadline deadline) override {
    return AllPages(&v1::AdminService::Stub::ListPolicyViolations, deadline);
  }

  absl::StatusOr<std::vector<v1::Token>> RevokePolicyViolations(const std::vector<std::string>& names,
                                                                Deadline deadline) override {
    v1::RevokePolicyViolationsRequest request;
    request.mutable_names()->Add(names.begin(), names.end());
    return Tokens(&v1::AdminService::Stub::RevokePolicyViolations, request, deadline);
  }

 private:
  template <typename Request, typename Response>
  using Method = grpc::Status (v1::AdminService::Stub::*)(grpc::ClientContext*, const Request&, Response*);

  template <typename Request, typename Response>
  absl::StatusOr<Response> AllPages(Method<Request, Response> method, Deadline deadline) {
    Response all;
    Request request;
    request.set_page_size(1000);
    do {
      grpc::ClientContext context;
      context.set_deadline(GrpcDeadline(deadline));
      Response page;
      const absl::Status end = FromGrpc(((*Stub()).*method)(&context, request, &page));
      if (!end.ok()) return end;
      request.set_page_token(page.next_page_token());
      page.clear_next_page_token();
      all.MergeFrom(page);
    } while (!request.page_token().empty());
    return all;
  }

  template <typename Request, typename Response>
  absl::StatusOr<std::vector<v1::Token>> Tokens(Method<Request, Response> method, const Request& request,
                                                Deadline deadline) {
    grpc::ClientContext context;
    context.set_deadline(GrpcDeadline(deadline));
    Response response;
    const absl::Status end = FromGrpc(((*Stub()).*method)(&context, request, &response));
    if (!end.ok()) return end;
    return std::vector<v1::Token>(response.tokens().begin(), response.tokens().end());
  }

  template <typename Request, typename Response>
  absl::StatusOr<std::vector<v1::Token>> TakeIn(Method<Request, Response> method,
                                                const std::vector<std::int64_t>& upstream_ids, Deadline deadline) {
    Request request;
    request.mutable_upstream_ids()->Add(upstream_ids.begin(), upstream_ids.end());
    request.set_expected_count(static_cast<std::int32_t>(upstream_ids.size()));
    return Tokens(method, request, deadline);
  }

  std::unique_ptr<v1::AdminService::Stub> Stub() { return v1::AdminService::NewStub(connection_->CurrentChannel()); }

  const std::unique_ptr<Connection> connection_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AdminClient>> MakeAdminClient(TokenClientOptions options) {
  absl::StatusOr<std::unique_ptr<Connection>> connection = OpenConnection(std::move(options));
  if (!connection.ok()) return connection.status();
  return std::make_unique<GrpcAdminClient>(*std::move(connection));
}

}  // namespace tokenbroker
