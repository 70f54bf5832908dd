#include "server/rpc/peer.h"

#include <grpc/grpc_security_constants.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <time.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace tokenbroker {
namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
};

std::vector<std::string> Values(const grpc::AuthContext& context, const char* property) {
  std::vector<std::string> values;
  for (const grpc::string_ref& value : context.FindPropertyValues(property)) {
    values.emplace_back(value.data(), value.size());
  }
  return values;
}

std::optional<WallTime> NotAfter(const std::string& pem) {
  const std::unique_ptr<BIO, Free> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return std::nullopt;
  const std::unique_ptr<X509, Free> certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) return std::nullopt;
  std::tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1) return std::nullopt;
  return WallTime(seconds(timegm(&end)));
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

std::optional<CertificateFacts> CertificateOf(const grpc::AuthContext& context) {
  static auto* const ends = new Ends;
  const std::vector<std::string> certificates = Values(context, GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (certificates.empty()) return std::nullopt;
  CertificateFacts facts;
  facts.uris = Values(context, GRPC_PEER_URI_PROPERTY_NAME);
  facts.dns_names = Values(context, GRPC_PEER_DNS_PROPERTY_NAME);
  facts.not_after = ends->Of(certificates.front());
  return facts;
}

}  // namespace tokenbroker
