#pragma once
// What gRPC or OpenSSL knows of a TLS peer, as plain facts.

#include <grpcpp/security/auth_context.h>
#include <openssl/x509.h>

#include <optional>

#include "server/identity/authenticator.h"
#include "server/rpc/client_verifier.h"

namespace tokenbroker {

// URI and DNS names come from properties of their own kind. Never used are x509_subject_alternative_name, which mixes
// all kinds, so that an e-mail address can spell a host, and the common name, which nobody vouches for. The
// certificate's end is read from the certificate itself, which is there also when a TLS session was resumed after that
// end. Nothing, if the peer showed no certificate.
// `verifier`: what the names are held against besides; null: the handshake's authorities vouch for all.
std::optional<CertificateFacts> CertificateOf(const grpc::AuthContext& context, ClientVerifier* verifier);
// The same of a certificate during its handshake, whose authorities are taken to vouch for all names in it.
CertificateFacts CertificateOf(const X509& certificate);

}  // namespace tokenbroker
