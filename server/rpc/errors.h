#pragma once
// The one place where a failure of ours becomes a status of gRPC with google.rpc details.

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace tokenbroker {

// ErrorInfo (domain "tokenbroker") always; BadRequest, RetryInfo, PreconditionFailure and ResourceInfo where they
// apply. The message has at most 1 KiB, message and details as they travel at most 4 KiB: default clients drop larger
// ones, and the true status with them. Lists are cut; ErrorInfo.metadata["violations"] then says how many there were. A
// failure without a reason of ours shows nothing of the inside: INTERNAL, reason INTERNAL.
grpc::Status ToGrpc(const absl::Status& status);

// "NOT_FOUND", ...
const char* CodeName(grpc::StatusCode code);

}  // namespace tokenbroker
