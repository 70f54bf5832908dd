#include "server/rpc/errors.h"

#include <grpcpp/support/error_details.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/base/error.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kMessageMax = 1024;
constexpr std::size_t kWireMax = 4096;
constexpr std::size_t kFieldMax = 512;

// At most `max` bytes, ending with a whole character.
std::string Cut(std::string_view text, std::size_t max) {
  if (text.size() <= max) return std::string(text);
  std::size_t end = max - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

// grpc-message is percent-encoded: three bytes for each that is not printable ASCII.
std::size_t EncodedSize(std::string_view message) {
  std::size_t size = 0;
  for (const char c : message) size += c >= 0x20 && c < 0x7f && c != '%' ? 1 : 3;
  return size;
}

// The details are base64.
std::size_t WireSize(const google::rpc::Status& details) {
  return EncodedSize(details.message()) + (details.ByteSizeLong() + 2) / 3 * 4;
}

google::rpc::ErrorInfo InfoOf(const absl::Status& status) {
  google::rpc::ErrorInfo info;
  info.set_domain("tokenbroker");
  info.set_reason(ReasonOf(status));
  for (const auto& [key, value] : MetaOf(status)) (*info.mutable_metadata())[key] = Cut(value, 256);
  return info;
}

// What was left without a reason: an end that gRPC itself would give, or a fault of ours.
absl::Status WithReason(const absl::Status& status) {
  if (!ReasonOf(status).empty()) return status;
  const std::string message(status.message());
  switch (status.code()) {
    case absl::StatusCode::kCancelled:
      return Error(status.code(), "CANCELLED", message);
    case absl::StatusCode::kDeadlineExceeded:
      return Error(status.code(), "DEADLINE_EXCEEDED", message);
    default:
      return Error(absl::StatusCode::kInternal, "INTERNAL", "an internal error; the broker's log says more");
  }
}

void AddDetails(const absl::Status& status, google::rpc::Status& details) {
  if (const std::optional<Duration> retry = RetryAfterOf(status)) {
    google::rpc::RetryInfo info;
    info.mutable_retry_delay()->set_seconds(retry->count() / 1'000'000);
    info.mutable_retry_delay()->set_nanos(static_cast<std::int32_t>(retry->count() % 1'000'000 * 1000));
    details.add_details()->PackFrom(info);
  }
  if (const std::optional<PreconditionViolation> violation = PreconditionOf(status)) {
    google::rpc::PreconditionFailure failure;
    auto* added = failure.add_violations();
    added->set_type(violation->type);
    added->set_subject(violation->subject);
    added->set_description(Cut(violation->description, kFieldMax));
    details.add_details()->PackFrom(failure);
  }
  if (const std::optional<QuotaViolation> violation = QuotaOf(status)) {
    google::rpc::QuotaFailure failure;
    auto* added = failure.add_violations();
    added->set_subject(violation->subject);
    added->set_description(Cut(violation->description, kFieldMax));
    details.add_details()->PackFrom(failure);
  }
  const bool about_resource = absl::IsNotFound(status) || absl::IsAlreadyExists(status);
  for (const auto& [key, value] : MetaOf(status)) {
    if (!about_resource || key != "token") continue;
    google::rpc::ResourceInfo info;
    info.set_resource_type("tokenbroker.v1.Token");
    info.set_resource_name(value);
    details.add_details()->PackFrom(info);
  }
}

// `base`, whose first detail is kept for `info`, with the fields that are shown; `info` tells of those that are not.
google::rpc::Status Compose(google::rpc::Status base, google::rpc::ErrorInfo info, const google::rpc::BadRequest& shown,
                            std::size_t all) {
  if (static_cast<std::size_t>(shown.field_violations_size()) < all) {
    (*info.mutable_metadata())["violations"] = std::to_string(all);
  }
  base.mutable_details(0)->PackFrom(info);
  if (shown.field_violations_size() > 0) base.add_details()->PackFrom(shown);
  return base;
}

// As many of the fields, in their order, as there is room for. Stops at the first that does not fit: the caller decides
// how many there are, so none beyond that may cost anything.
google::rpc::BadRequest FieldsThatFit(const google::rpc::Status& base, const google::rpc::ErrorInfo& info,
                                      const std::vector<FieldViolation>& fields) {
  google::rpc::BadRequest bad;
  for (const FieldViolation& field : fields) {
    auto* violation = bad.add_field_violations();
    violation->set_field(Cut(field.field, 128));
    violation->set_description(Cut(field.description, kFieldMax));
    if (WireSize(Compose(base, info, bad, fields.size())) <= kWireMax) continue;
    bad.mutable_field_violations()->RemoveLast();
    break;
  }
  return bad;
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& original) {
  if (original.ok()) return grpc::Status::OK;
  const absl::Status status = WithReason(original);
  const std::vector<FieldViolation> fields = FieldsOf(status);
  const google::rpc::ErrorInfo info = InfoOf(status);

  for (std::size_t message_max = kMessageMax;; message_max /= 2) {
    google::rpc::Status base;
    base.set_code(static_cast<int>(status.code()));
    base.set_message(Cut({status.message().data(), status.message().size()}, message_max));
    base.add_details();
    AddDetails(status, base);
    const google::rpc::BadRequest shown = FieldsThatFit(base, info, fields);
    const google::rpc::Status details = Compose(base, info, shown, fields.size());
    // A long message leaves no room for a field, or for itself.
    const bool too_long = WireSize(details) > kWireMax || (shown.field_violations_size() == 0 && !fields.empty());
    if (too_long && message_max > 64) continue;
    grpc::Status result;
    // Cannot fail: the details' code is one of gRPC's.
    (void)grpc::SetErrorDetails(details, &result);
    return result;
  }
}

const char* CodeName(grpc::StatusCode code) {
  constexpr const char* kNames[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  const auto index = static_cast<std::size_t>(code);
  return index < std::size(kNames) ? kNames[index] : "UNKNOWN";
}

}  // namespace tokenbroker
