#pragma once
// The calls of those who run a broker (AdminService), for tokenctl: no retries, since a person sees the failure.

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/token_client.h"
#include "tokenbroker/v1/admin_service.pb.h"

namespace tokenbroker {

// Blocks the calling thread, at the latest until the deadline. Failures are those of TokenClient.
class AdminClient {
 public:
  virtual ~AdminClient() = default;

  // Calls `take` with each record, in the export's order; its failure ends the export.
  virtual absl::Status ExportAudit(const v1::ExportAuditRequest& request,
                                   const std::function<absl::Status(const v1::AuditRecord&)>& take,
                                   Deadline deadline) = 0;
};

// As MakeTokenClient.
absl::StatusOr<std::unique_ptr<AdminClient>> MakeAdminClient(TokenClientOptions options);

}  // namespace tokenbroker
