#pragma once
// One vocabulary of failure inside the house: absl::Status, with what a caller needs to act on attached as payloads.
// Each has one stable reason in UPPER_SNAKE_CASE (google.rpc.ErrorInfo.reason; listed in proto/tokenbroker/v1). Only
// server/rpc translates them, once, into google.rpc details. A secret never goes into an error.
//
//   return Error(absl::StatusCode::kInvalidArgument, "SCOPE_UNKNOWN", "scopes[1]: unknown scope read_apy")
//       .Field("token.scopes[1]", "unknown scope 'read_apy'; did you mean 'read_api'?");

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"

namespace tokenbroker {

// Builds a status; converts to absl::Status and to any absl::StatusOr.
class Error {
 public:
  Error(absl::StatusCode code, std::string_view reason, std::string_view message);

  // A field of the request and what is wrong with it (google.rpc.BadRequest). Fields keep their order.
  Error&& Field(std::string_view field, std::string_view description) &&;
  // When trying again may help (google.rpc.RetryInfo).
  Error&& RetryAfter(Duration delay) &&;
  // More for machines (ErrorInfo.metadata): a token's name, its state, a limit.
  Error&& Meta(std::string_view key, std::string_view value) &&;
  // What must be true first (PreconditionFailure).
  Error&& Precondition(std::string_view type, std::string_view subject, std::string_view description) &&;

  // A limit that is reached (QuotaFailure).
  Error&& Quota(std::string_view subject, std::string_view description) &&;

  operator absl::Status() && { return std::move(status_); }  // NOLINT(google-explicit-constructor): it is one
  template <typename T>
  operator absl::StatusOr<T>() && {  // NOLINT(google-explicit-constructor): so that `return Error(...)` works
    return absl::StatusOr<T>(std::move(status_));
  }

 private:
  absl::Status status_;
  int fields_ = 0;
};

struct FieldViolation {
  std::string field, description;
  bool operator==(const FieldViolation&) const = default;
};
struct PreconditionViolation {
  std::string type, subject, description;
};
struct QuotaViolation {
  std::string subject, description;
};

// A status that was made elsewhere, with more for machines.
absl::Status WithMeta(absl::Status status, std::string_view key, std::string_view value);

// What Error attached; empty where it did not.
std::string ReasonOf(const absl::Status& status);
std::vector<FieldViolation> FieldsOf(const absl::Status& status);
std::optional<Duration> RetryAfterOf(const absl::Status& status);
std::vector<std::pair<std::string, std::string>> MetaOf(const absl::Status& status);
std::optional<PreconditionViolation> PreconditionOf(const absl::Status& status);
std::optional<QuotaViolation> QuotaOf(const absl::Status& status);

}  // namespace tokenbroker
