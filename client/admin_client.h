#pragma once
// The calls of those who run a broker (AdminService), for tokenctl: no retries, since a person sees the failure.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

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

  // All pages as one answer.
  virtual absl::StatusOr<v1::ListUnknownTokensResponse> ListUnknownTokens(Deadline deadline) = 0;
  // Exactly these, by their ids at GitLab (1 to 250), or none.
  virtual absl::StatusOr<std::vector<v1::Token>> AdoptTokens(const std::vector<std::int64_t>& upstream_ids,
                                                             Deadline deadline) = 0;
  virtual absl::StatusOr<std::vector<v1::Token>> RevokeUnknownTokens(const std::vector<std::int64_t>& upstream_ids,
                                                                     Deadline deadline) = 0;

  // All pages as one answer.
  virtual absl::StatusOr<v1::ListPolicyViolationsResponse> ListPolicyViolations(Deadline deadline) = 0;
  // Exactly these, "tokens/{id}" (1 to 250), or none.
  virtual absl::StatusOr<std::vector<v1::Token>> RevokePolicyViolations(const std::vector<std::string>& names,
                                                                        Deadline deadline) = 0;
};

// As MakeTokenClient.
absl::StatusOr<std::unique_ptr<AdminClient>> MakeAdminClient(TokenClientOptions options);

}  // namespace tokenbroker
