#include "server/rpc/reception.h"

#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/identity/authenticator.h"
#include "server/rpc/message_text.h"
#include "server/rpc/peer.h"

namespace tokenbroker {
namespace {

// gRPC may end a whole connection over metadata above its own limit; a call above ours harms nothing but itself.
constexpr std::size_t kMetadataMaxBytes = 16 << 10;
constexpr std::size_t kEntryBytes = 32;  // What HTTP/2 (RFC 9113, 6.5.2) counts for each beside its texts.

absl::Status CheckMetadata(const grpc::CallbackServerContext& context) {
  std::size_t size = 0;
  for (const auto& [key, value] : context.client_metadata()) size += key.size() + value.size() + kEntryBytes;
  if (size <= kMetadataMaxBytes) return absl::OkStatus();
  return Error(absl::StatusCode::kResourceExhausted, "METADATA_TOO_LARGE",
               "the call's metadata has " + std::to_string(size) + " bytes; at most " +
                   std::to_string(kMetadataMaxBytes) + " are taken");
}

}  // namespace

void Reception::Note(std::string_view method, const google::protobuf::Message& request) const {
  if (!parts_.log.Writes(LogLevel::kTrace)) return;
  parts_.log.Trace("call", {{"method", method}, {"request", MessageText(request)}});
}

std::shared_ptr<UnaryCall> Reception::Begin(const grpc::CallbackServerContext& context, std::string_view method,
                                            const google::protobuf::Message& request) const {
  Note(method, request);
  return UnaryCall::Begin(context, method, parts_.clock, parts_.metrics);
}

absl::StatusOr<Caller> Reception::CallerOf(const grpc::CallbackServerContext& context) const {
  const absl::Status metadata = CheckMetadata(context);
  if (!metadata.ok()) return metadata;
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  const std::shared_ptr<const Policy> policy = parts_.policies.Current();
  absl::StatusOr<Caller> caller =
      auth == nullptr
          ? Error(absl::StatusCode::kUnauthenticated, "IDENTITY_INVALID", "no client certificate was presented")
          : Authenticate(PeerFactsOf(*auth), policy->callers(), parts_.clock.Now());
  if (!caller.ok()) {
    const std::string reason = ReasonOf(caller.status());
    parts_.metrics.AuthenticationFailed(reason);
    parts_.log.Info("caller not recognised",
                    {{"peer", context.peer()}, {"reason", reason}, {"error", std::string(caller.status().message())}});
    // What the log says of the policy is not for one whom the policy does not know.
    if (absl::IsPermissionDenied(caller.status())) {
      return Error(absl::StatusCode::kPermissionDenied, reason,
                   "the client certificate matches no caller of the policy");
    }
  }
  return caller;
}

grpc::ServerUnaryReactor* Reception::Refuse(UnaryCall& call, std::string method, const Caller& caller,
                                            const absl::Status& status) const {
  Logged(std::move(method), caller)(status);
  return call.Fail(status);
}

UnaryCall::OnEnd Reception::Logged(std::string method, const Caller& caller) const {
  return [log = &parts_.log, method = std::move(method), name = caller.name](const absl::Status& status) {
    if (status.ok()) return log->Debug("call ended", {{"method", method}, {"caller", name}, {"code", "OK"}});
    log->Info("call failed", {{"method", method},
                              {"caller", name},
                              {"code", std::string(absl::StatusCodeToString(status.code()))},
                              {"reason", ReasonOf(status)},
                              {"error", std::string(status.message())}});
  };
}

}  // namespace tokenbroker
