#include "server/rpc/reception.h"

#include <utility>

#include "server/base/error.h"
#include "server/identity/authenticator.h"
#include "server/rpc/message_text.h"
#include "server/rpc/peer.h"

namespace tokenbroker {

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
