#include "server/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>

#include <chrono>
#include <future>
#include <optional>
#include <utility>

#include "server/rpc/admin_service.h"
#include "server/rpc/connection_door.h"
#include "server/rpc/handshake_monitor.h"
#include "server/rpc/server_tls.h"
#include "server/rpc/token_service.h"
#include "server/telemetry/line_budget.h"

namespace tokenbroker {
namespace {

// More than the largest legal request needs.
constexpr int kRequestMaxBytes = 64 << 10;
// For everything that gRPC buffers of all peers together.
constexpr std::size_t kMemoryQuotaBytes = std::size_t{128} << 20;
// A client may ping a connection that has no call, or a quiet one, every 30 s: this, and some slack.
constexpr Duration kMinPingInterval = seconds(20);
constexpr Duration kMaxConnectionIdle = minutes(10);
// When no call is in flight any more, a drain waits this long for responses to be taken and health watchers to hear.
constexpr Duration kStreamsEndWithin = milliseconds(500);
// Reception refuses calls with a quarter of it in an orderly way; what is over this may cost the connection.
constexpr int kMetadataHardMaxBytes = 64 << 10;
// A connection is mostly one caller's: more streams than its calls at a time, and some health checks, cost memory
// alone.
constexpr int kStreamsBesideCalls = 64;
constexpr int kMaxStreamsPerConnection = 1000;
constexpr Duration kConnectionGrace = seconds(60);
constexpr Duration kWarnEvery = minutes(1);
constexpr int kMaxHandshakeLines = 20;  // A minute, about failed handshakes.

class Server final : public RpcServer {
 public:
  Server(ServiceParts parts, const ReceptionOptions& callers, std::unique_ptr<ServerTls> tls)
      : clock_(parts.clock),
        log_(parts.log),
        metrics_(parts.metrics),
        reception_(parts, WithVerifier(callers, tls->verifier())),
        tokens_(reception_),
        admin_(reception_),
        tls_(std::move(tls)) {}
  ~Server() override {
    if (door_ != nullptr) door_->Close();
    if (handshakes_ != nullptr) handshakes_->Stop();
  }

  absl::Status Listen(const RpcServerOptions& options) {
    absl::StatusOr<std::unique_ptr<ConnectionDoor>> door =
        ConnectionDoor::Open(options.address, options.max_connections);
    if (!door.ok()) return door.status();
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    // gRPC spreads the age by a tenth either way; the bound holds for the latest.
    SetTime(builder, GRPC_ARG_MAX_CONNECTION_AGE_MS, options.max_connection_age * 10 / 11);
    SetTime(builder, GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, kConnectionGrace);
    SetTime(builder, GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, options.handshake_timeout);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataHardMaxBytes);
    builder.AddChannelArgument(
        GRPC_ARG_MAX_CONCURRENT_STREAMS,
        std::min(options.callers.max_calls_per_caller + kStreamsBesideCalls, kMaxStreamsPerConnection));
    SetTime(builder, GRPC_ARG_MAX_CONNECTION_IDLE_MS, kMaxConnectionIdle);
    SetTime(builder, GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingInterval);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.SetMaxReceiveMessageSize(kRequestMaxBytes);
    builder.SetResourceQuota(grpc::ResourceQuota("tokenbroker").Resize(kMemoryQuotaBytes));
    // A small compressed request unpacks to a large one before its size is looked at. No client of ours compresses.
    for (const auto algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
      builder.SetCompressionAlgorithmSupportStatus(algorithm, false);
    }
    builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        tls_->Credentials(options.client_certificate_required));
    builder.RegisterService(&tokens_);
    builder.RegisterService(&admin_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("gRPC does not start");
    handshakes_ = std::make_shared<HandshakeMonitor>(
        options.handshake_timeout,
        [this](const CertificateFacts& certificate) { return reception_.CheckPeer(certificate); },
        [this](const HandshakeFailure& failure) { HandshakeFailed(failure); });
    door_ = *std::move(door);
    door_->Start(
        [this](int listener, int connection, const std::string& peer) {
          grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters accepted;
          accepted.listener_fd = listener;
          accepted.fd = connection;
          handshakes_->Watch(peer, [&] { acceptor_->HandleNewConnection(&accepted); });
        },
        [this, most = options.max_connections](const std::string& peer) { TooManyConnections(most, peer); });
    for (const char* const service : {"", "tokenbroker.v1.TokenService", "tokenbroker.v1.AdminService"}) {
      server_->GetHealthCheckService()->SetServingStatus(service, true);
    }
    return absl::OkStatus();
  }

  int port() const override { return door_->port(); }

  void Shutdown(Duration patience) override {
    if (server_ == nullptr) return;
    server_->GetHealthCheckService()->SetServingStatus(false);
    door_->Close();
    const auto deadline = std::chrono::system_clock::now() + patience;
    std::future<void> ended = std::async(std::launch::async, [this, deadline] { server_->Shutdown(deadline); });
    // gRPC would wait as long for a health watcher, or for a peer that says nothing, as for a call.
    reception_.WaitForCalls(patience);
    if (ended.wait_for(kStreamsEndWithin) != std::future_status::ready) door_->EndConnections();
    ended.wait();
    server_->Wait();
    server_ = nullptr;
  }

 private:
  static ReceptionOptions WithVerifier(ReceptionOptions options, ClientVerifier* verifier) {
    options.verifier = verifier;
    return options;
  }
  static void SetTime(grpc::ServerBuilder& builder, const char* argument, Duration time) {
    builder.AddChannelArgument(argument, static_cast<int>(duration_cast<milliseconds>(time).count()));
  }

  // On the door's thread.
  void TooManyConnections(int most, const std::string& peer) {
    metrics_.ConnectionRefused();
    const BootTime now = clock_.Boot();
    if (warned_.has_value() && now - *warned_ < kWarnEvery) return;
    warned_ = now;
    log_.Warn("too many connections: others are ended for new ones", {{"max_connections", most}, {"peer", peer}});
  }

  // On any thread of gRPC's.
  void HandshakeFailed(const HandshakeFailure& failure) {
    metrics_.HandshakeFailed(failure.reason);
    const std::optional<std::int64_t> suppressed = failed_handshakes_.Take(clock_.Boot());
    if (!suppressed.has_value()) return;
    log_.Info(
        "TLS handshake failed",
        {{"peer", failure.peer}, {"reason", failure.reason}, {"detail", failure.detail}, {"suppressed", *suppressed}});
  }

  Clock& clock_;
  Log& log_;
  Metrics& metrics_;
  const Reception reception_;
  TokenService tokens_;
  AdminService admin_;
  const std::unique_ptr<ServerTls> tls_;  // Outlives server_.
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  std::optional<BootTime> warned_;
  LineBudget failed_handshakes_{kMaxHandshakeLines};
  std::shared_ptr<HandshakeMonitor> handshakes_;
  std::unique_ptr<ConnectionDoor> door_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcServerOptions& options, ServiceParts parts) {
  absl::StatusOr<std::unique_ptr<ServerTls>> tls =
      ServerTls::Open({options.certificate_file, options.key_file, options.client_ca_file, options.trust_domains,
                       options.client_crl_file},
                      parts.clock, parts.metrics, parts.log);
  if (!tls.ok()) return tls.status();
  auto server = std::make_unique<Server>(parts, options.callers, *std::move(tls));
  const absl::Status listening = server->Listen(options);
  if (!listening.ok()) return listening;
  return server;
}

}  // namespace tokenbroker
