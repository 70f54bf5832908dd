#include "client/connection.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <utility>

#include "client/broker_address.h"
#include "server/base/error.h"
#include "server/base/time_text.h"

namespace tokenbroker {
namespace {

// A page of 1000 tokens with long labels; gRPC's default is 4 MiB.
constexpr int kMaxAnswerBytes = 16 << 20;

grpc::ChannelArguments ChannelSettings() {
  grpc::ChannelArguments settings;
  settings.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  settings.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  settings.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // Two clients with different certificates in one process must never share a connection.
  settings.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // (GRPC_ARG_MIN_RECONNECT_BACKOFF_MS stays as it is: in truth it is how long a connection may take to be made.)
  // The pace of RetryPolicy, not gRPC's 1 s to 2 min: otherwise repeats would only hear the old failure again.
  settings.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  settings.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5000);
  settings.SetMaxReceiveMessageSize(kMaxAnswerBytes);
  settings.SetUserAgentPrefix("tokenbroker-client");
  return settings;
}

absl::Status BadOption(const char* option, const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, "CLIENT_OPTION_INVALID", message).Meta("option", option);
}

absl::Status CheckAddress(const std::string& address) {
  if (address.empty()) return BadOption("address", "no address of a broker is given");
  const std::string rule = BrokenAddressRule(address);
  if (!rule.empty()) return BadOption("address", "the broker's address '" + address + "' is invalid: " + rule);
  return absl::OkStatus();
}

// The token goes with every call. gRPC keeps a copy of it, as it does of the key.
std::shared_ptr<grpc::ChannelCredentials> WithBearer(const std::shared_ptr<grpc::ChannelCredentials>& channel,
                                                     const Secret& bearer) {
  if (bearer.empty()) return channel;
  std::string text(bearer.Reveal());
  std::shared_ptr<grpc::ChannelCredentials> both =
      grpc::CompositeChannelCredentials(channel, grpc::AccessTokenCredentials(text));
  Wipe(text);
  return both;
}

WallTime WallNow() {
  return std::chrono::time_point_cast<Duration>(
      WallTime(duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch())));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(std::string address, CredentialPaths paths,
                                                             Duration reread_interval) {
  absl::StatusOr<Credentials> read = ReadCredentials(paths);
  if (!read.ok()) return read.status();
  std::unique_ptr<Connection> connection(new Connection(std::move(address), std::move(paths), reread_interval));
  connection->credentials_ = *std::move(read);
  connection->last_read_ = std::chrono::steady_clock::now();
  connection->MakeChannel();
  return connection;
}

std::shared_ptr<Connection::Stub> Connection::Current() {
  const std::lock_guard lock(mutex_);
  ReadIfOld();
  return stub_;
}

std::shared_ptr<grpc::Channel> Connection::CurrentChannel() {
  const std::lock_guard lock(mutex_);
  ReadIfOld();
  return channel_;
}

std::shared_ptr<Connection::Stub> Connection::Renew(const std::shared_ptr<Stub>& refused) {
  const std::lock_guard lock(mutex_);
  if (stub_ != refused) return stub_;
  ReadAgain();
  // A new connection even if nothing has changed: the broker judges some things once per connection.
  if (stub_ == refused) MakeChannel();
  return stub_;
}

std::string Connection::Complaint() const {
  const std::lock_guard lock(mutex_);
  if (!last_reading_.ok()) return "earlier credentials are in use, since " + std::string(last_reading_.message());
  if (credentials_.not_after <= WallNow()) {
    return "the certificate in " + paths_.certificate_file + " ended at " + FormatRfc3339(credentials_.not_after);
  }
  return "";
}

void Connection::ReadIfOld() {
  if (std::chrono::steady_clock::now() - last_read_ >= reread_interval_) ReadAgain();
}

void Connection::ReadAgain() {
  last_read_ = std::chrono::steady_clock::now();
  absl::StatusOr<Credentials> read = ReadCredentials(paths_);
  last_reading_ = read.status();
  if (!read.ok() || read->SameAs(credentials_)) return;
  credentials_ = *std::move(read);
  MakeChannel();
}

void Connection::MakeChannel() {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = credentials_.ca_pem;
  options.pem_cert_chain = credentials_.certificate_pem;
  options.pem_private_key = std::string(credentials_.key_pem.Reveal());
  const std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::SslCredentials(options);
  Wipe(options.pem_private_key);
  channel_ = grpc::CreateCustomChannel(address_, WithBearer(credentials, credentials_.bearer), ChannelSettings());
  stub_ = v1::TokenService::NewStub(channel_);
}

absl::StatusOr<std::unique_ptr<Connection>> OpenConnection(TokenClientOptions options) {
  const absl::Status address = CheckAddress(options.address);
  if (!address.ok()) return address;
  return Connection::Open(std::move(options.address),
                          {std::move(options.ca_file), std::move(options.certificate_file), std::move(options.key_file),
                           std::move(options.bearer_file)},
                          options.reread_interval);
}

gpr_timespec GrpcDeadline(Deadline deadline) {
  const Duration left = duration_cast<Duration>(deadline - std::chrono::steady_clock::now());
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_micros(left.count(), GPR_TIMESPAN));
}

}  // namespace tokenbroker
