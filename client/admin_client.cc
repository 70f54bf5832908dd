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
      const absl::Status taken = take(response.record());
      if (taken.ok()) continue;
      context.TryCancel();
      return taken;
    }
    return FromGrpc(reader->Finish());
  }

 private:
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
