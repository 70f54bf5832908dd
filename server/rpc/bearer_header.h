#pragma once
// The bearer token of a call.

#include <grpcpp/support/string_ref.h>

#include <map>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"

namespace tokenbroker {

// The token of the metadata's `authorization: Bearer <token>`, the scheme in any case; nothing, if there is no such
// header. It lives as long as the metadata. UNAUTHENTICATED, reason TOKEN_INVALID, if there are two, another scheme, or
// a character that no token has; the text is for the log, and says nothing of the header's own.
absl::StatusOr<std::optional<std::string_view>> BearerTokenIn(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata);

}  // namespace tokenbroker
