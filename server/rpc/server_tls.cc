#include "server/rpc/server_tls.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <ctime>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tokenbroker {
namespace {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* what) const {
    kFree(what);
  }
};
using Memory = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Context = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;

absl::Status Unusable(const std::string& file, std::string_view what) {
  const unsigned long code = ERR_peek_last_error();
  const char* const why = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  std::string text = absl::StrCat(file, ": ", std::string(what));
  if (why != nullptr) absl::StrAppend(&text, " (", why, ")");
  return absl::InvalidArgumentError(text);
}

Memory View(std::string_view text) { return Memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

// A key under a passphrase is of no use; without this, OpenSSL would ask the terminal for it and wait.
int NoPassphrase(char*, int, int, void*) { return -1; }

// Every certificate of a text: all of them parse, and there is one at least.
absl::StatusOr<std::vector<Certificate>> ReadCertificates(const std::string& file, std::string_view pem,
                                                          std::string_view what) {
  const Memory memory = View(pem);
  std::vector<Certificate> all;
  ERR_clear_error();
  while (X509* const each = PEM_read_bio_X509(memory.get(), nullptr, NoPassphrase, nullptr)) all.emplace_back(each);
  const bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!is_end || all.empty()) return Unusable(file, what);
  ERR_clear_error();
  return all;
}

WallTime EndOf(const X509* certificate) {
  std::tm parts = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) return WallTime::min();
  return WallTime(seconds(timegm(&parts)));
}

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

absl::StatusOr<WallTime> ValidateServerTls(const ServerTlsPaths& paths, const ServerTlsTexts& texts) {
  absl::StatusOr<std::vector<Certificate>> chain =
      ReadCertificates(paths.certificate_file, texts.certificate_pem, "cannot be read as a PEM certificate chain");
  if (!chain.ok()) return chain.status();
  const absl::StatusOr<std::vector<Certificate>> authorities =
      ReadCertificates(paths.client_ca_file, texts.client_ca_pem, "cannot be read as PEM certificates of authorities");
  if (!authorities.ok()) return authorities.status();
  const Memory memory = View(texts.key_pem.Reveal());
  const Key key(PEM_read_bio_PrivateKey(memory.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) return Unusable(paths.key_file, "cannot be read as a PEM key without a passphrase");
  // What OpenSSL takes for a server: a key that is too short is no server's.
  const Context context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return absl::InternalError("OpenSSL cannot make a context");
  if (SSL_CTX_use_certificate(context.get(), chain->front().get()) != 1) {
    return Unusable(paths.certificate_file, "cannot be used as a server's certificate");
  }
  if (SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1 || SSL_CTX_check_private_key(context.get()) != 1) {
    return Unusable(paths.key_file, "is not the key of the certificate in " + paths.certificate_file);
  }
  return EndOf(chain->front().get());
}

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
