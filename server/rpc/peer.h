#pragma once
// What gRPC or OpenSSL knows of a TLS peer, as plain facts.

#include <grpcpp/security/auth_context.h>
#include <openssl/x509.h>

#include <optional>

#include "server/identity/authenticator.h"

namespace tokenbroker {

// URI and DNS names come from properties of their own kind. Never used are x509_subject_alternative_name, which mixes
// all kinds, so that an e-mail address can spell a host, and the common name, which nobody vouches for. The
// certificate's end is read from the certificate itself, which is there also when a TLS session was resumed after that
// end. Nothing, if the peer showed no certificate.
std::optional<CertificateFacts> CertificateOf(const grpc::AuthContext& context);
// The same of a certificate during its handshake.
CertificateFacts CertificateOf(const X509& certificate);

}  // namespace tokenbroker
