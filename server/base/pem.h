#pragma once
// PEM texts, validated with OpenSSL before they are used: certificates, revocation lists, a private key, and whether a
// chain and a key are a pair.

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/clock.h"

namespace tokenbroker {

template <auto kFree>
struct OpensslFree {
  template <typename T>
  void operator()(T* what) const {
    kFree(what);
  }
};
using X509Handle = std::unique_ptr<X509, OpensslFree<X509_free>>;
using X509CrlHandle = std::unique_ptr<X509_CRL, OpensslFree<X509_CRL_free>>;
using PrivateKeyHandle = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;

// Every certificate or revocation list of a text; there is at least one. Text between the blocks is a comment; a cut
// BEGIN or END line, or one without the other, is an error: OpenSSL would skip such a block without a word. Blocks of
// other kinds are skipped. INVALID_ARGUMENT, its message the cause and nothing else ("no start line").
absl::StatusOr<std::vector<X509Handle>> ParsePemCertificates(std::string_view pem);
absl::StatusOr<std::vector<X509CrlHandle>> ParsePemCrls(std::string_view pem);

// The key of a text, which has no passphrase. Errors as above; they never have a part of the key.
absl::StatusOr<PrivateKeyHandle> ParsePemKey(std::string_view pem);

// The reason for which a chain and a key cannot be used together in TLS.
struct KeyPairFault {
  enum class Kind {
    kNotFirst,     // The key is that of certificate `number`, counted from 1, which must be the first.
    kMismatch,     // The key is that of no certificate of the chain.
    kCertificate,  // OpenSSL does not accept the certificate: its key is too short, for one.
    kKey,          // OpenSSL does not accept the key.
  };
  Kind kind;
  std::size_t number = 0;
  std::string cause;  // In OpenSSL's words; may be empty.
};

// std::nullopt if they are a pair. `chain` has at least one certificate.
std::optional<KeyPairFault> FindKeyPairFault(const std::vector<X509Handle>& chain, EVP_PKEY* key);

// The notAfter of a certificate; WallTime::min() if it cannot be read.
WallTime EndOf(const X509* certificate);

}  // namespace tokenbroker
