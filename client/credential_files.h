#pragma once
// The certificate authority, the certificate and the key, or the bearer token, of a client, as they lie on disk at this
// moment.

#include <string>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/secret.h"

namespace tokenbroker {

struct CredentialPaths {
  std::string ca_file;           // PEM; whoever may have signed the broker's certificate.
  std::string certificate_file;  // PEM; the client's chain, its own certificate first.
  std::string key_file;          // PEM, without a passphrase.
  std::string bearer_file;       // A signed token (JWT), one line.
};

struct Credentials {
  std::string ca_pem;
  std::string certificate_pem;  // Empty, as is the key: only a bearer token is shown.
  Secret key_pem;
  Secret bearer;                         // Empty: only a certificate is shown.
  WallTime not_after = WallTime::max();  // Of the client's own certificate.

  bool SameAs(const Credentials& other) const;
};

// Reads the files that are named (at most 1 MiB each) and checks that every certificate in them is whole, that the
// chain begins with the one that the key belongs to, and that OpenSSL accepts the pair: a file or pair that is just
// being exchanged is an error. Certificate and key may be left out together beside a bearer token. Failures name the
// file: reason CLIENT_OPTION_INVALID, CLIENT_FILE_UNREADABLE or CLIENT_FILE_INVALID, metadata "option" = ca_file,
// certificate_file, key_file or bearer_file.
absl::StatusOr<Credentials> ReadCredentials(const CredentialPaths& paths);

}  // namespace tokenbroker
