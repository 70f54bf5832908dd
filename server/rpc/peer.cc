#include "server/rpc/peer.h"

#include <grpc/grpc_security_constants.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/base/pem.h"

namespace tokenbroker {
namespace {

using Names = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;

std::vector<std::string> Values(const grpc::AuthContext& context, const char* property) {
  std::vector<std::string> values;
  for (const grpc::string_ref& value : context.FindPropertyValues(property)) {
    values.emplace_back(value.data(), value.size());
  }
  return values;
}

std::optional<WallTime> NotAfter(const X509& certificate) {
  const WallTime end = EndOf(&certificate);
  if (end == WallTime::min()) return std::nullopt;
  return end;
}

std::optional<WallTime> NotAfter(const std::string& pem) {
  const absl::StatusOr<std::vector<X509Handle>> certificates = ParsePemCertificates(pem);
  if (!certificates.ok()) return std::nullopt;
  return NotAfter(*certificates->front());
}

// When certificates end, by their text. OpenSSL 3 takes longer to read one than a whole call may take, and a connection
// shows the same one with every call.
class Ends {
 public:
  std::optional<WallTime> Of(const std::string& pem) {
    {
      const std::lock_guard lock(mutex_);
      const auto known = ends_.find(pem);
      if (known != ends_.end()) return known->second;
    }
    const std::optional<WallTime> end = NotAfter(pem);
    const std::lock_guard lock(mutex_);
    if (ends_.size() >= kMost) ends_.clear();
    ends_.emplace(pem, end);
    return end;
  }

 private:
  static constexpr std::size_t kMost = 4096;  // About 1 KiB each.

  std::mutex mutex_;
  std::unordered_map<std::string, std::optional<WallTime>> ends_;
};

}  // namespace

std::optional<CertificateFacts> CertificateOf(const grpc::AuthContext& context, ClientVerifier* verifier) {
  static auto* const ends = new Ends;
  const std::vector<std::string> certificates = Values(context, GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (certificates.empty()) return std::nullopt;
  CertificateFacts facts;
  facts.uris = Values(context, GRPC_PEER_URI_PROPERTY_NAME);
  facts.dns_names = Values(context, GRPC_PEER_DNS_PROPERTY_NAME);
  facts.not_after = ends->Of(certificates.front());
  if (verifier == nullptr) return facts;
  const std::vector<std::string> chain = Values(context, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME);
  const ClientVerdict verdict =
      verifier->Verify(certificates.front(), chain.empty() ? "" : chain.front(), TrustDomainOf(facts.uris));
  facts.spiffe_vouched = verdict.spiffe_vouched;
  facts.dns_vouched = verdict.dns_vouched;
  facts.revoked = verdict.revoked;
  return facts;
}

CertificateFacts CertificateOf(const X509& certificate) {
  CertificateFacts facts;
  facts.not_after = NotAfter(certificate);
  const Names names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI && name->type != GEN_DNS) continue;
    const ASN1_STRING* const text = name->d.ia5;
    (name->type == GEN_URI ? facts.uris : facts.dns_names)
        .emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), ASN1_STRING_length(text));
  }
  return facts;
}

}  // namespace tokenbroker
