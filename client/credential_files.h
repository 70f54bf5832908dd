#pragma once
// The certificate authority, the certificate and the key of a client, as they lie on disk at this moment.

#include <string>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/secret.h"

namespace tokenbroker {

struct CredentialPaths {
  std::string ca_file;           // PEM; whoever may have signed the broker's certificate.
  std::string certificate_file;  // PEM; the client's chain, its own certificate first.
  std::string key_file;          // PEM, without a passphrase.
};

struct Credentials {
  std::string ca_pem;
  std::string certificate_pem;
  Secret key_pem;
  WallTime not_after;  // Of the client's own certificate.

  bool SameAs(const Credentials& other) const;
};

// Reads the three files (at most 1 MiB each) and checks that they are what they should be and that the key belongs to
// the certificate, which also catches a pair that is being exchanged. Failures name the file: reason
// CLIENT_FILE_UNREADABLE or CLIENT_FILE_INVALID, metadata "option" = ca_file, certificate_file or key_file.
absl::StatusOr<Credentials> ReadCredentials(const CredentialPaths& paths);

}  // namespace tokenbroker
