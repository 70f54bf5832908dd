#pragma once
// What every handler does first and last: who calls, and a line in the log.

#include <grpcpp/server_context.h>

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/broker/broker.h"
#include "server/identity/authenticator.h"
#include "server/identity/bearer.h"
#include "server/rpc/call_places.h"
#include "server/rpc/unary.h"
#include "server/telemetry/line_budget.h"

namespace google::protobuf {
class Message;
}

namespace tokenbroker {

class ClientVerifier;

// What the services stand on.
struct ServiceParts {
  Broker& broker;
  const PolicySource& policies;
  Clock& clock;
  Metrics& metrics;
  Log& log;
  BearerVerifier* bearers = nullptr;  // None: bearer tokens are refused.
};

struct ReceptionOptions {
  std::vector<std::string> trust_domains;   // Lower case; empty: whatever the client authorities vouch for.
  int max_calls_per_caller = 256;           // At work at a time.
  bool client_certificate_required = true;  // Else a bearer token may stand beside any certificate, or none.
  // What the names in certificates are held against besides the handshake; null: nothing. Outlives the reception's
  // calls.
  ClientVerifier* verifier = nullptr;
};

// Thread-safe.
class Reception {
 public:
  Reception(ServiceParts parts, ReceptionOptions options);

  Broker& broker() const { return parts_.broker; }
  Clock& clock() const { return parts_.clock; }
  Metrics& metrics() const { return parts_.metrics; }

  // Notes that a call came.
  void Note(std::string_view method, const google::protobuf::Message& request) const;
  std::shared_ptr<UnaryCall> Begin(const grpc::CallbackServerContext& context, std::string_view method,
                                   const google::protobuf::Message& request) const;
  // Who calls, by certificate and bearer token, on every call anew; and a place for the call. Besides what
  // CallerIndex::Recognise says, in texts that tell the caller no more than the reason:
  //   UNAUTHENTICATED, TOKEN_INVALID           the bearer token
  //   RESOURCE_EXHAUSTED, METADATA_TOO_LARGE   more than 16 KiB
  //   RESOURCE_EXHAUSTED, TOO_MANY_CALLS       the caller has max_calls_per_caller at work; others are not concerned
  absl::StatusOr<Caller> Admit(const grpc::CallbackServerContext& context, CallPlace& place) const;
  // Whether a peer may be a caller with this certificate, which an authority of callers vouches for: the same question
  // during the handshake. OK wherever a bearer token may say who calls instead, and as long as there is no
  // policy.
  absl::Status CheckPeer(const CertificateFacts& certificate) const;
  // Waits up to `timeout` for the calls that are in flight.
  void WaitForCalls(Duration timeout) const { places_.WaitForNone(timeout); }
  // Ends a call whose request cannot be one.
  grpc::ServerUnaryReactor* Refuse(UnaryCall& call, std::string method, const Caller& caller,
                                   const absl::Status& status) const;
  // Writes the end of a call into the log: failed calls as far as the caller's lines of the minute go.
  UnaryCall::OnEnd Logged(std::string method, const Caller& caller) const;

 private:
  // Lines a minute about peers that are not recognised; and of each caller, about too many calls and about failed ones.
  static constexpr int kMaxFailureLines = 20;

  struct Known;
  class Recogniser;

  absl::StatusOr<Caller> Recognise(const grpc::CallbackServerContext& context) const;

  const ServiceParts parts_;
  const ReceptionOptions options_;
  mutable CallPlaces places_;
  mutable LineBudget failures_{kMaxFailureLines};
  mutable CallerLineBudgets too_many_{kMaxFailureLines};
  // Shared with the calls in flight.
  const std::shared_ptr<CallerLineBudgets> failed_calls_ = std::make_shared<CallerLineBudgets>(kMaxFailureLines);
  const std::shared_ptr<Recogniser> recogniser_;  // Shared with the callers that it recognised.
};

}  // namespace tokenbroker
