#pragma once
// The texts of the server's TLS files, validated with OpenSSL before they are used.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/pem.h"
#include "server/base/secret.h"

namespace tokenbroker {

struct TrustDomainFile {
  std::string name;     // Lower case.
  std::string ca_file;  // Its authorities.
};

// PEM files.
struct ServerTlsPaths {
  std::string certificate_file;  // The chain, the server's own certificate first.
  std::string key_file;          // Without a passphrase.
  std::string client_ca_file;    // One or more authorities of clients.
  // Each with authorities of its own; empty: those of client_ca_file vouch for all.
  std::vector<TrustDomainFile> trust_domains = {};
  std::string client_crl_file = "";  // Revocation lists; empty: none.

  // Whether the names in a client's certificate are held against more than the handshake's authorities.
  bool verifies_clients() const { return !trust_domains.empty() || !client_crl_file.empty(); }
};

struct ServerTlsTexts {
  std::string certificate_pem;
  Secret key_pem;
  std::string client_ca_pem;
  std::vector<std::string> trust_domain_pems = {};  // One for each trust domain.
  std::string client_crl_pem = "";                  // Empty without client_crl_file.
};

// As ParsePemCertificates; INVALID_ARGUMENT names `file`, what was expected (`what`: "a PEM certificate chain") and the
// cause.
absl::StatusOr<std::vector<X509Handle>> ParseCertificates(const std::string& file, std::string_view pem,
                                                          std::string_view what);

absl::StatusOr<std::vector<X509Handle>> ParseAuthorities(const std::string& file, std::string_view pem);
// The same for revocation lists.
absl::StatusOr<std::vector<X509CrlHandle>> ParseCrls(const std::string& file, std::string_view pem);

// Returns OK if a server can serve with these texts: the chain and every authority parse, and the key is that of the
// first certificate. INVALID_ARGUMENT names the file and the cause. The value is the end of the server's certificate;
// one that has ended is no error: its end is a metric, and peers reject it.
absl::StatusOr<WallTime> ValidateServerTls(const ServerTlsPaths& paths, const ServerTlsTexts& texts);

// Every error of the files as they are now, for --check-config; empty if a server can serve with them.
std::vector<absl::Status> FindServerTlsErrors(const ServerTlsPaths& paths);

// The errors of a file of authorities, read now: missing, or not PEM certificates.
absl::Status CheckAuthoritiesFile(const std::string& path);

}  // namespace tokenbroker
