#pragma once
// What a failed call tells besides its code and message, as data. The status of every TokenClient call carries it:
//
//   absl::StatusOr<CreatedToken> made = client->Create(spec, {}, DeadlineIn(seconds(30)));
//   if (!made.ok()) {
//     const CallError error = CallErrorOf(made.status());
//     if (error.reason == "NOT_GRANTED") ...
//   }

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/base/error.h"

namespace grpc {
class Status;
}

namespace tokenbroker {

struct CallError {
  // The broker's stable reason in UPPER_SNAKE_CASE, as the API lists them. CLIENT_FILE_UNREADABLE, CLIENT_FILE_INVALID
  // and CLIENT_OPTION_INVALID are this library's own. Empty if the failure comes from neither (a connection that
  // cannot be made, a deadline, something between us and the broker).
  std::string reason;
  // The fields of the request that are wrong, in the broker's order: "token.scopes[1]", "unknown scope 'read_apy'".
  std::vector<FieldViolation> fields;
  // Set if trying again may help, and when.
  std::optional<Duration> retry_after;
  // What must be true first.
  std::optional<PreconditionViolation> precondition;
  // More for machines: the name and state of the token that exists already, a limit. A quota that is used up is here
  // as "quota" (whose) and "quota_description", the thing that a NOT_FOUND speaks of as "resource".
  std::vector<std::pair<std::string, std::string>> metadata;
  // Create alone: the request_id that was sent. Sending it again cannot make a second live token.
  std::string request_id;
};

CallError CallErrorOf(const absl::Status& status);

// The same failure, of a Create that was sent with this request_id.
absl::Status WithRequestId(absl::Status status, const std::string& request_id);

// A status of gRPC with its google.rpc details, as a status that CallErrorOf can read.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace tokenbroker
