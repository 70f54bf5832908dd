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

std::vector<std::string> FilesOf(const ServerTlsPaths& paths) {
  std::vector<std::string> files = {paths.certificate_file, paths.key_file, paths.client_ca_file};
  for (const TrustDomainFile& each : paths.trust_domains) files.push_back(each.ca_file);
  if (!paths.client_crl_file.empty()) files.push_back(paths.client_crl_file);
  return files;
}

// Of the files in that order.
ServerTlsTexts TextsOf(const ServerTlsPaths& paths, const WatchedFiles::Contents& contents) {
  std::string key = contents[1];
  ServerTlsTexts texts = {contents[0], Secret::TakeFrom(key), contents[2]};
  const auto domains = contents.begin() + 3;
  texts.trust_domain_pems.assign(domains, domains + static_cast<std::ptrdiff_t>(paths.trust_domains.size()));
  if (!paths.client_crl_file.empty()) texts.client_crl_pem = contents.back();
  return texts;
}

// Every authority that a handshake may end at; which names each may vouch for is decided later.
std::string AllAuthorities(const ServerTlsTexts& texts) {
  std::string all = texts.client_ca_pem;
  for (const std::string& each : texts.trust_domain_pems) all += "\n" + each;
  return all;
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
          "tls", FilesOf(paths_), [this](const WatchedFiles::Contents& contents) { return Take(contents); }, clock,
          metrics, log) {}

absl::Status ServerTls::Take(const WatchedFiles::Contents& contents) {
  ServerTlsTexts texts = TextsOf(paths_, contents);
  const absl::StatusOr<WallTime> end = ValidateServerTls(paths_, texts);
  if (!end.ok()) return end.status();
  absl::StatusOr<std::shared_ptr<const ClientAuthorities>> authorities = ClientAuthorities::Parse(paths_, texts);
  if (!authorities.ok()) return authorities.status();
  verifier_.Use(*std::move(authorities));
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
  *config = grpc_ssl_server_certificate_config_create(AllAuthorities(tls.texts_).c_str(), &pair, 1);
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
