#pragma once
// What every handler does first and last: who calls, and a line in the log.

#include <grpcpp/server_context.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/broker/broker.h"
#include "server/identity/bearer.h"
#include "server/rpc/unary.h"

namespace google::protobuf {
class Message;
}

namespace tokenbroker {

// What the services stand on.
struct ServiceParts {
  Broker& broker;
  const PolicySource& policies;
  Clock& clock;
  Metrics& metrics;
  Log& log;
  BearerVerifier* bearers = nullptr;  // Null: no bearer token is taken.
};

// Thread-safe.
class Reception {
 public:
  explicit Reception(ServiceParts parts) : parts_(parts) {}

  Broker& broker() const { return parts_.broker; }
  Clock& clock() const { return parts_.clock; }
  Metrics& metrics() const { return parts_.metrics; }

  // Notes that a call came.
  void Note(std::string_view method, const google::protobuf::Message& request) const;
  std::shared_ptr<UnaryCall> Begin(const grpc::CallbackServerContext& context, std::string_view method,
                                   const google::protobuf::Message& request) const;
  // Who calls: by the certificate, on every call anew. Metadata over 16 KiB is RESOURCE_EXHAUSTED, reason
  // METADATA_TOO_LARGE.
  absl::StatusOr<Caller> CallerOf(const grpc::CallbackServerContext& context) const;
  // Ends a call whose request cannot be one.
  grpc::ServerUnaryReactor* Refuse(UnaryCall& call, std::string method, const Caller& caller,
                                   const absl::Status& status) const;
  // Writes the end of a call into the log.
  UnaryCall::OnEnd Logged(std::string method, const Caller& caller) const;

 private:
  ServiceParts parts_;
};

}  // namespace tokenbroker
