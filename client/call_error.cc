#include "client/call_error.h"

#include <grpcpp/support/status.h>

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace tokenbroker {
namespace {

constexpr char kRequestId[] = "tokenbroker/client/request_id";

// A duration of the wire in our unit; nothing if it is out of protobuf's own range.
std::optional<Duration> DurationOf(const google::protobuf::Duration& wire) {
  constexpr std::int64_t kMaxSeconds = 315'576'000'000;
  if (wire.seconds() < 0 || wire.seconds() > kMaxSeconds || wire.nanos() < 0) return std::nullopt;
  return seconds(wire.seconds()) + Duration(wire.nanos() / 1000);
}

// The builder's methods change it in place.
Error&& More(Error& error) { return static_cast<Error&&>(error); }

// Adds the details that this library knows; others are passed over, as newer brokers may send more.
void AddDetail(Error& error, const google::protobuf::Any& any) {
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad;
  google::rpc::RetryInfo retry;
  google::rpc::PreconditionFailure precondition;
  google::rpc::QuotaFailure quota;
  google::rpc::ResourceInfo resource;
  if (any.UnpackTo(&info)) {
    for (const auto& [key, value] : info.metadata()) More(error).Meta(key, value);
  } else if (any.UnpackTo(&bad)) {
    for (const auto& violation : bad.field_violations()) {
      More(error).Field(violation.field(), violation.description());
    }
  } else if (any.UnpackTo(&retry)) {
    const std::optional<Duration> delay = DurationOf(retry.retry_delay());
    if (delay.has_value()) More(error).RetryAfter(*delay);
  } else if (any.UnpackTo(&precondition)) {
    if (precondition.violations_size() == 0) return;
    const auto& violation = precondition.violations(0);
    More(error).Precondition(violation.type(), violation.subject(), violation.description());
  } else if (any.UnpackTo(&quota)) {
    if (quota.violations_size() == 0) return;
    More(error).Meta("quota", quota.violations(0).subject());
    More(error).Meta("quota_description", quota.violations(0).description());
  } else if (any.UnpackTo(&resource)) {
    More(error).Meta("resource", resource.resource_name());
  }
}

std::string ReasonIn(const google::rpc::Status& details) {
  google::rpc::ErrorInfo info;
  for (const google::protobuf::Any& any : details.details()) {
    if (any.UnpackTo(&info)) return info.reason();
  }
  return "";
}

}  // namespace

CallError CallErrorOf(const absl::Status& status) {
  CallError error;
  error.reason = ReasonOf(status);
  error.fields = FieldsOf(status);
  error.retry_after = RetryAfterOf(status);
  error.precondition = PreconditionOf(status);
  error.metadata = MetaOf(status);
  const absl::optional<absl::Cord> request_id = status.GetPayload(kRequestId);
  if (request_id.has_value()) error.request_id = std::string(*request_id);
  return error;
}

absl::Status WithRequestId(absl::Status status, const std::string& request_id) {
  status.SetPayload(kRequestId, absl::Cord(request_id));
  return status;
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  // The two enumerations have the same numbers.
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) details.Clear();
  Error error(code, ReasonIn(details), status.error_message());
  for (const google::protobuf::Any& any : details.details()) AddDetail(error, any);
  return absl::Status(More(error));
}

}  // namespace tokenbroker
