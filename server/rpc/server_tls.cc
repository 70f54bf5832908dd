#include "server/rpc/server_tls.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <utility>

namespace tokenbroker {
namespace {

// What gRPC hands a port to: its C credentials, which ask for their certificates at each handshake.
class FetchingCredentials final : public grpc::ServerCredentials {
 public:
  explicit FetchingCredentials(grpc_server_credentials* credentials) : credentials_(credentials) {}
  ~FetchingCredentials() override { grpc_server_credentials_release(credentials_); }
  FetchingCredentials(const FetchingCredentials&) = delete;
  FetchingCredentials& operator=(const FetchingCredentials&) = delete;

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* const credentials_;
};

ServerTlsTexts TextsOf(const WatchedFiles::Contents& contents) {
  std::string key = contents[1];
  return {contents[0], Secret::TakeFrom(key), contents[2]};
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServerTls>> ServerTls::Open(ServerTlsPaths paths, Clock& clock, Metrics& metrics,
                                                           Log& log) {
  std::unique_ptr<ServerTls> tls(new ServerTls(std::move(paths), clock, metrics, log));
  const absl::Status loaded = tls->files_.Load();
  if (!loaded.ok()) return loaded;
  tls->files_.Start();
  return tls;
}

ServerTls::ServerTls(ServerTlsPaths paths, Clock& clock, Metrics& metrics, Log& log)
    : paths_(std::move(paths)),
      metrics_(metrics),
      files_(
          "tls", {paths_.certificate_file, paths_.key_file, paths_.client_ca_file},
          [this](const WatchedFiles::Contents& contents) { return Take(contents); }, clock, metrics, log) {}

absl::Status ServerTls::Take(const WatchedFiles::Contents& contents) {
  ServerTlsTexts texts = TextsOf(contents);
  const absl::StatusOr<WallTime> end = ValidateServerTls(paths_, texts);
  if (!end.ok()) return end.status();
  metrics_.SetCertificateEnd(*end);
  const std::lock_guard lock(mutex_);
  texts_ = std::move(texts);
  ++version_;
  return absl::OkStatus();
}

grpc_ssl_certificate_config_reload_status ServerTls::Fetch(void* self, grpc_ssl_server_certificate_config** config) {
  auto& tls = *static_cast<ServerTls*>(self);
  const std::lock_guard lock(tls.mutex_);
  if (tls.handed_out_ == tls.version_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  std::string key(tls.texts_.key_pem.Reveal());
  const grpc_ssl_pem_key_cert_pair pair = {key.c_str(), tls.texts_.certificate_pem.c_str()};
  *config = grpc_ssl_server_certificate_config_create(tls.texts_.client_ca_pem.c_str(), &pair, 1);
  Wipe(key);
  tls.handed_out_ = tls.version_;
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

std::shared_ptr<grpc::ServerCredentials> ServerTls::Credentials(bool client_certificate_required) {
  grpc_ssl_server_credentials_options* const options = grpc_ssl_server_credentials_create_options_using_config_fetcher(
      client_certificate_required ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                  : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY,
      &ServerTls::Fetch, this);
  return std::make_shared<FetchingCredentials>(grpc_ssl_server_credentials_create_with_options(options));
}

}  // namespace tokenbroker
