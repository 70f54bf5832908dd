#pragma once
// Between AdminService's messages and the house's own nouns; see convert.h.

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "server/broker/broker.h"
#include "tokenbroker/v1/admin_service.pb.h"

namespace tokenbroker {

// INVALID_ARGUMENT, reason FIELD_INVALID, with the field that is wrong.
absl::StatusOr<AuditQuery> ToAuditQuery(const v1::ExportAuditRequest& request);

void FromAuditRecord(const AuditRecord& record, v1::AuditRecord& out);

// Which part of the unknown tokens: those behind this upstream id, at most so many.
struct UnknownPage {
  std::int64_t after = 0;
  int size = 0;
};
absl::StatusOr<UnknownPage> ToUnknownPage(const v1::ListUnknownTokensRequest& request);
void FromFindings(const Findings& findings, const UnknownPage& page, v1::ListUnknownTokensResponse& out);

// At least one and at most 1000 of them, none of them twice.
absl::StatusOr<std::vector<TokenId>> ToTokenIds(const v1::RevokePolicyViolationsRequest& request);
void FromViolationPage(const ViolationPage& page, v1::ListPolicyViolationsResponse& out);

// Of AdoptTokensRequest and RevokeUnknownTokensRequest.
template <typename Request>
UnknownChoice ToChoice(const Request& request, bool revoke) {
  UnknownChoice choice;
  choice.upstream_ids.assign(request.upstream_ids().begin(), request.upstream_ids().end());
  if (request.expected_count() != 0) choice.expected_count = request.expected_count();
  choice.revoke = revoke;
  return choice;
}

}  // namespace tokenbroker
