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
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/token_service.h"

namespace tokenbroker {
namespace {

constexpr unsigned kReadFilesEverySeconds = 5;
constexpr int kRequestMaxBytes = 256 << 10;
// Reception refuses calls with a quarter of it in an orderly way; what is over this may cost the connection.
constexpr int kMetadataHardMaxBytes = 64 << 10;
constexpr int kStreamsPerConnection = 1000;
constexpr Duration kConnectionGrace = seconds(60);

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
  tls.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(tls);
}

class Server final : public RpcServer {
 public:
  explicit Server(ServiceParts parts) : reception_(parts), tokens_(reception_), admin_(reception_) {}
  ~Server() override {
    if (server_ != nullptr) Shutdown(Duration(0));
  }

  absl::Status Listen(const RpcServerOptions& options) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    // Without this, the kernel would share the port between two brokers, and half of the calls meet the wrong one.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    // gRPC spreads the age by a tenth either way; the bound holds for the latest.
    const auto age = static_cast<int>(duration_cast<milliseconds>(options.max_connection_age * 10 / 11).count());
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, age);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                               static_cast<int>(duration_cast<milliseconds>(kConnectionGrace).count()));
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataHardMaxBytes);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnection);
    builder.SetMaxReceiveMessageSize(kRequestMaxBytes);
    builder.AddListeningPort(options.address, Credentials(options), &port_);
    builder.RegisterService(&tokens_);
    builder.RegisterService(&admin_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      server_ = nullptr;
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", options.address, ": is the address this host's, and the port free?"));
    }
    return absl::OkStatus();
  }

  int port() const override { return port_; }

  void Shutdown(Duration patience) override {
    if (server_ == nullptr) return;
    server_->GetHealthCheckService()->SetServingStatus(false);
    server_->Shutdown(std::chrono::system_clock::now() + patience);
    server_->Wait();
    server_ = nullptr;
  }

 private:
  const Reception reception_;
  TokenService tokens_;
  AdminService admin_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcServerOptions& options, ServiceParts parts) {
  const absl::Status files = CheckFiles(options);
  if (!files.ok()) return files;
  auto server = std::make_unique<Server>(parts);
  const absl::Status listening = server->Listen(options);
  if (!listening.ok()) return listening;
  return server;
}

}  // namespace tokenbroker
