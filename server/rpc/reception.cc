#include "server/rpc/reception.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/rpc/bearer_header.h"
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

// What the log says is not for one who is not known: not what the policy says, nor what of a token was wrong. That its
// certificate has ended, and when, or was revoked, a peer knows.
absl::Status ForThePeer(const absl::Status& status, std::string_view reason) {
  if (reason == "CERTIFICATE_EXPIRED" || reason == "CERTIFICATE_REVOKED") return status;
  return Error(status.code(), reason,
               absl::IsPermissionDenied(status) ? "who calls is no caller of the policy"
                                                : "what was shown does not prove who calls");
}

}  // namespace

struct Reception::Known {
  Known(std::shared_ptr<const Policy> of, const std::vector<std::string>& trust_domains)
      : policy(std::move(of)), callers(policy->callers(), trust_domains) {}

  const std::shared_ptr<const Policy> policy;
  const CallerIndex callers;
};

// Who a peer is by the policy of now. Outlived by the policies and the clock alone.
class Reception::Recogniser {
 public:
  Recogniser(const PolicySource& policies, const Clock& clock, std::vector<std::string> trust_domains)
      : policies_(policies), clock_(clock), trust_domains_(std::move(trust_domains)) {}

  absl::StatusOr<Caller> Recognise(const PeerFacts& peer) {
    return KnownCallers()->callers.Recognise(peer, clock_.Now());
  }
  absl::Status CheckCertificate(const CertificateFacts& certificate, bool bearer_may_follow) {
    return KnownCallers()->callers.CheckCertificate(certificate, bearer_may_follow, clock_.Now());
  }

 private:
  // The callers of the policy of now; made anew when that has changed.
  std::shared_ptr<const Known> KnownCallers() {
    std::shared_ptr<const Policy> policy = policies_.Current();
    const std::lock_guard lock(mutex_);
    if (known_ == nullptr || known_->policy != policy) {
      known_ = std::make_shared<const Known>(std::move(policy), trust_domains_);
    }
    return known_;
  }

  const PolicySource& policies_;
  const Clock& clock_;
  const std::vector<std::string> trust_domains_;
  std::mutex mutex_;
  std::shared_ptr<const Known> known_;
};

Reception::Reception(ServiceParts parts, ReceptionOptions options)
    : parts_(parts),
      options_(std::move(options)),
      places_(options_.max_calls_per_caller),
      recogniser_(std::make_shared<Recogniser>(parts_.policies, parts_.clock, options_.trust_domains)) {}

void Reception::Note(std::string_view method, const google::protobuf::Message& request) const {
  if (!parts_.log.Writes(LogLevel::kTrace)) return;
  parts_.log.Trace("call", {{"method", method}, {"request", MessageText(request)}});
}

std::shared_ptr<UnaryCall> Reception::Begin(const grpc::CallbackServerContext& context, std::string_view method,
                                            const google::protobuf::Message& request) const {
  Note(method, request);
  return UnaryCall::Begin(context, method, parts_.clock, parts_.metrics);
}

absl::Status Reception::CheckPeer(const CertificateFacts& certificate) const {
  if (!options_.client_certificate_required && parts_.bearers != nullptr) return absl::OkStatus();
  if (parts_.policies.Current()->callers().empty()) return absl::OkStatus();  // None is loaded: the calls say so.
  return recogniser_->CheckCertificate(certificate, parts_.bearers != nullptr);
}

absl::StatusOr<Caller> Reception::Recognise(const grpc::CallbackServerContext& context) const {
  PeerFacts peer;
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth != nullptr) peer.certificate = CertificateOf(*auth, options_.verifier);
  const WallTime now = parts_.clock.Now();
  const absl::StatusOr<std::optional<std::string_view>> token = BearerTokenIn(context.client_metadata());
  if (!token.ok()) return token.status();
  if (token->has_value()) {
    if (parts_.bearers == nullptr) {
      return Error(absl::StatusCode::kUnauthenticated, "TOKEN_INVALID",
                   "a bearer token was shown, and the configuration names no issuer");
    }
    absl::StatusOr<BearerFacts> bearer = parts_.bearers->Verify(**token, now);
    if (!bearer.ok()) return bearer.status();
    peer.bearer = *std::move(bearer);
  }
  absl::StatusOr<Caller> caller = recogniser_->Recognise(peer);
  if (!caller.ok()) return caller;
  caller->recognise_again = [recogniser = recogniser_, peer = std::move(peer)]() -> absl::StatusOr<Caller> {
    absl::StatusOr<Caller> again = recogniser->Recognise(peer);
    if (!again.ok()) return ForThePeer(again.status(), ReasonOf(again.status()));
    return again;
  };
  return caller;
}

absl::StatusOr<Caller> Reception::Admit(const grpc::CallbackServerContext& context, CallPlace& place) const {
  const absl::Status metadata = CheckMetadata(context);
  if (!metadata.ok()) return metadata;
  absl::StatusOr<Caller> caller = Recognise(context);
  if (!caller.ok()) {
    const std::string reason = ReasonOf(caller.status());
    parts_.metrics.AuthenticationFailed(reason);
    // Any peer can cause these.
    if (const std::optional<std::int64_t> suppressed = failures_.Take(parts_.clock.Boot())) {
      parts_.log.Info("caller not recognised", {{"peer", context.peer()},
                                                {"reason", reason},
                                                {"error", std::string(caller.status().message())},
                                                {"suppressed", *suppressed}});
    }
    return ForThePeer(caller.status(), reason);
  }
  place = places_.Take(caller->name);
  if (place) return caller;
  if (const std::optional<std::int64_t> suppressed = too_many_.Take(caller->name, parts_.clock.Boot())) {
    parts_.log.Info("too many calls", {{"caller", caller->name}, {"suppressed", *suppressed}});
  }
  return Error(absl::StatusCode::kResourceExhausted, "TOO_MANY_CALLS",
               "the caller has " + std::to_string(places_.most()) + " calls at work, the most that are taken")
      .RetryAfter(seconds(1));
}

grpc::ServerUnaryReactor* Reception::Refuse(UnaryCall& call, std::string method, const Caller& caller,
                                            const absl::Status& status) const {
  Logged(std::move(method), caller)(status);
  return call.Fail(status);
}

UnaryCall::OnEnd Reception::Logged(std::string method, const Caller& caller) const {
  return [log = &parts_.log, clock = &parts_.clock, lines = failed_calls_, method = std::move(method),
          name = caller.name](const absl::Status& status) {
    if (status.ok()) return log->Debug("call ended", {{"method", method}, {"caller", name}, {"code", "OK"}});
    const std::optional<std::int64_t> suppressed = lines->Take(name, clock->Boot());
    if (!suppressed.has_value()) return;
    log->Info("call failed", {{"method", method},
                              {"caller", name},
                              {"code", std::string(absl::StatusCodeToString(status.code()))},
                              {"reason", ReasonOf(status)},
                              {"error", std::string(status.message())},
                              {"suppressed", *suppressed}});
  };
}

}  // namespace tokenbroker
