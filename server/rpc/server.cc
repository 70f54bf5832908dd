#include "server/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/connection_door.h"
#include "server/rpc/token_service.h"

namespace tokenbroker {
namespace {

constexpr unsigned kReadFilesEverySeconds = 5;
constexpr int kRequestMaxBytes = 256 << 10;
// Reception refuses calls with a quarter of it in an orderly way; what is over this may cost the connection.
constexpr int kMetadataHardMaxBytes = 64 << 10;
constexpr int kStreamsPerConnection = 1000;
constexpr Duration kConnectionGrace = seconds(60);
constexpr Duration kWarnEvery = minutes(1);

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

absl::Status Unusable(const std::string& file, std::string_view what) {
  const unsigned long code = ERR_get_error();
  // OpenSSL has no words for what the system refused.
  const char* why = code == 0                ? nullptr
                    : ERR_SYSTEM_ERROR(code) ? std::strerror(ERR_GET_REASON(code))
                                             : ERR_reason_error_string(code);
  ERR_clear_error();
  std::string text = absl::StrCat(file, ": ", std::string(what));
  if (why != nullptr) absl::StrAppend(&text, " (", why, ")");
  return absl::InvalidArgumentError(text);
}

// gRPC says nothing about files that it cannot use but refuses every handshake: look before it does.
absl::Status CheckFiles(const RpcServerOptions& options) {
  const std::unique_ptr<SSL_CTX, FreeContext> context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return absl::InternalError("OpenSSL cannot make a context");
  ERR_clear_error();
  // A key under a passphrase is of no use; without this, OpenSSL would ask the terminal for it and wait.
  SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return -1; });
  if (SSL_CTX_use_certificate_chain_file(context.get(), options.certificate_file.c_str()) != 1) {
    return Unusable(options.certificate_file, "cannot be read as a PEM certificate chain");
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), options.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return Unusable(options.key_file,
                    "cannot be read as the PEM key of the certificate in " + options.certificate_file);
  }
  if (SSL_CTX_check_private_key(context.get()) != 1) {
    return Unusable(options.key_file, "is not the key of the certificate in " + options.certificate_file);
  }
  if (SSL_CTX_load_verify_locations(context.get(), options.client_ca_file.c_str(), nullptr) != 1) {
    return Unusable(options.client_ca_file, "cannot be read as PEM certificates of authorities");
  }
  return absl::OkStatus();
}

std::shared_ptr<grpc::ServerCredentials> Credentials(const RpcServerOptions& options) {
  const auto provider = std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      options.key_file, options.certificate_file, options.client_ca_file, kReadFilesEverySeconds);
  grpc::experimental::TlsServerCredentialsOptions tls(provider);
  tls.watch_identity_key_cert_pairs();
  tls.watch_root_certs();
  tls.set_cert_request_type(options.client_certificate_required
                                ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(tls);
}

class Server final : public RpcServer {
 public:
  Server(ServiceParts parts, const ReceptionOptions& callers)
      : clock_(parts.clock),
        log_(parts.log),
        metrics_(parts.metrics),
        reception_(parts, callers),
        tokens_(reception_),
        admin_(reception_) {}
  ~Server() override {
    if (door_ != nullptr) door_->Close();
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
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnection);
    builder.SetMaxReceiveMessageSize(kRequestMaxBytes);
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, Credentials(options));
    builder.RegisterService(&tokens_);
    builder.RegisterService(&admin_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("gRPC does not start");
    door_ = *std::move(door);
    door_->Start(
        [this](int listener, int connection) {
          grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters accepted;
          accepted.listener_fd = listener;
          accepted.fd = connection;
          acceptor_->HandleNewConnection(&accepted);
        },
        [this, most = options.max_connections] { TooManyConnections(most); });
    return absl::OkStatus();
  }

  int port() const override { return door_->port(); }

  void Shutdown(Duration patience) override {
    if (server_ == nullptr) return;
    server_->GetHealthCheckService()->SetServingStatus(false);
    door_->Close();
    server_->Shutdown(std::chrono::system_clock::now() + patience);
    server_->Wait();
    server_ = nullptr;
  }

 private:
  static void SetTime(grpc::ServerBuilder& builder, const char* argument, Duration time) {
    builder.AddChannelArgument(argument, static_cast<int>(duration_cast<milliseconds>(time).count()));
  }

  // On the door's thread.
  void TooManyConnections(int most) {
    metrics_.ConnectionRefused();
    const BootTime now = clock_.Boot();
    if (warned_.has_value() && now - *warned_ < kWarnEvery) return;
    warned_ = now;
    log_.Warn("connections are refused", {{"max_connections", most}});
  }

  Clock& clock_;
  Log& log_;
  Metrics& metrics_;
  const Reception reception_;
  TokenService tokens_;
  AdminService admin_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  std::optional<BootTime> warned_;
  std::unique_ptr<ConnectionDoor> door_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcServerOptions& options, ServiceParts parts) {
  const absl::Status files = CheckFiles(options);
  if (!files.ok()) return files;
  auto server = std::make_unique<Server>(parts, options.callers);
  const absl::Status listening = server->Listen(options);
  if (!listening.ok()) return listening;
  return server;
}

}  // namespace tokenbroker
