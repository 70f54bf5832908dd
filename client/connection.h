#pragma once
// The channel to the broker, made anew whenever the credentials on disk have changed.

#include <grpc/support/time.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/credential_files.h"
#include "client/token_client.h"
#include "server/base/clock.h"
#include "tokenbroker/v1/token_service.grpc.pb.h"

namespace tokenbroker {

// Thread-safe.
class Connection {
 public:
  using Stub = v1::TokenService::Stub;

  // Fails as ReadCredentials does.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(std::string address, CredentialPaths paths,
                                                          Duration reread_interval);

  // The stub to use now. Reads the files first if the last reading is older than the interval. A call keeps its stub,
  // and with it its channel, until it ends.
  std::shared_ptr<Stub> Current();

  // The channel of Current(), for another service.
  std::shared_ptr<grpc::Channel> CurrentChannel();

  // Reads the files now and makes a new channel, unless another call has already replaced `refused`.
  std::shared_ptr<Stub> Renew(const std::shared_ptr<Stub>& refused);

  // What is wrong with the credentials at hand, for people: a file that could not be read lately, a certificate that
  // has ended. Empty if nothing is.
  std::string Complaint() const;

 private:
  Connection(std::string address, CredentialPaths paths, Duration reread_interval)
      : address_(std::move(address)), paths_(std::move(paths)), reread_interval_(reread_interval) {}

  void ReadIfOld();
  void ReadAgain();
  void MakeChannel();

  const std::string address_;
  const CredentialPaths paths_;
  const Duration reread_interval_;

  mutable std::mutex mutex_;
  Credentials credentials_;
  absl::Status last_reading_;
  std::chrono::steady_clock::time_point last_read_;
  std::shared_ptr<grpc::Channel> channel_;
  std::shared_ptr<Stub> stub_;
};

// Checks the address, then opens.
absl::StatusOr<std::unique_ptr<Connection>> OpenConnection(TokenClientOptions options);

// gRPC's monotonic clock is the steady clock, but its epoch is its own affair.
gpr_timespec GrpcDeadline(Deadline deadline);

}  // namespace tokenbroker
