#include "server/base/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <ctime>
#include <utility>

namespace tokenbroker {
namespace {

using Memory = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using Context = std::unique_ptr<SSL_CTX, OpensslFree<SSL_CTX_free>>;

// Empties OpenSSL's queue of errors.
std::string TakeCause() {
  const unsigned long code = ERR_peek_last_error();
  const char* const why = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return why == nullptr ? "" : why;
}

absl::Status Invalid(const std::string& cause) {
  return absl::InvalidArgumentError(cause.empty() ? "OpenSSL gives no cause" : cause);
}

Memory View(std::string_view text) { return Memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

// A key under a passphrase is of no use; without this, OpenSSL would ask the terminal for it and wait.
int NoPassphrase(char*, int, int, void*) { return -1; }

// The label of a "-----BEGIN X-----" line; empty if `line` is none.
std::string_view LabelOf(std::string_view line, std::string_view begin) {
  constexpr std::string_view kDashes = "-----";
  if (!line.starts_with(begin) || !line.ends_with(kDashes)) return "";
  if (line.size() <= begin.size() + kDashes.size()) return "";
  return line.substr(begin.size(), line.size() - begin.size() - kDashes.size());
}

// Returns true if every BEGIN line is whole and has its END line, and the other way round.
bool HasWholeBlocks(std::string_view pem) {
  std::string_view open;  // The label of the block that has begun; empty: none has.
  while (!pem.empty()) {
    std::string_view line = pem.substr(0, pem.find('\n'));
    pem.remove_prefix(std::min(pem.size(), line.size() + 1));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
    if (!line.starts_with("--") && line.find("-----") == std::string_view::npos) continue;
    const std::string_view begin = LabelOf(line, "-----BEGIN ");
    const std::string_view end = LabelOf(line, "-----END ");
    if (!begin.empty() && open.empty()) {
      open = begin;
    } else if (!end.empty() && open == end) {
      open = "";
    } else {
      return false;
    }
  }
  return open.empty();
}

// Every object of one kind, read by OpenSSL's `read`.
template <typename Handle>
absl::StatusOr<std::vector<Handle>> ParseAll(std::string_view pem,
                                             typename Handle::pointer (*read)(BIO*, typename Handle::pointer*,
                                                                              pem_password_cb*, void*)) {
  ERR_clear_error();
  if (!HasWholeBlocks(pem)) return Invalid("a BEGIN or END line is cut short or missing");
  const Memory memory = View(pem);
  std::vector<Handle> all;
  while (const auto each = read(memory.get(), nullptr, NoPassphrase, nullptr)) all.emplace_back(each);
  const bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string cause = TakeCause();
  if (!is_end || all.empty()) return Invalid(cause);
  return all;
}

}  // namespace

absl::StatusOr<std::vector<X509Handle>> ParsePemCertificates(std::string_view pem) {
  return ParseAll<X509Handle>(pem, &PEM_read_bio_X509);
}

absl::StatusOr<std::vector<X509CrlHandle>> ParsePemCrls(std::string_view pem) {
  return ParseAll<X509CrlHandle>(pem, &PEM_read_bio_X509_CRL);
}

absl::StatusOr<PrivateKeyHandle> ParsePemKey(std::string_view pem) {
  ERR_clear_error();
  const Memory memory = View(pem);
  PrivateKeyHandle key(PEM_read_bio_PrivateKey(memory.get(), nullptr, NoPassphrase, nullptr));
  const std::string cause = TakeCause();
  if (key == nullptr) return Invalid(cause);
  return key;
}

std::optional<KeyPairFault> FindKeyPairFault(const std::vector<X509Handle>& chain, EVP_PKEY* key) {
  using Kind = KeyPairFault::Kind;
  ERR_clear_error();
  if (X509_check_private_key(chain.front().get(), key) != 1) {
    const std::string cause = TakeCause();
    for (std::size_t i = 1; i < chain.size(); ++i) {
      const bool fits = X509_check_private_key(chain[i].get(), key) == 1;
      ERR_clear_error();
      if (fits) return KeyPairFault{Kind::kNotFirst, i + 1, ""};
    }
    return KeyPairFault{Kind::kMismatch, 0, cause};
  }
  const Context context(SSL_CTX_new(TLS_method()));
  if (context == nullptr || SSL_CTX_use_certificate(context.get(), chain.front().get()) != 1) {
    return KeyPairFault{Kind::kCertificate, 0, TakeCause()};
  }
  if (SSL_CTX_use_PrivateKey(context.get(), key) != 1 || SSL_CTX_check_private_key(context.get()) != 1) {
    return KeyPairFault{Kind::kKey, 0, TakeCause()};
  }
  return std::nullopt;
}

WallTime EndOf(const X509* certificate) {
  std::tm parts = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) return WallTime::min();
  return WallTime(seconds(timegm(&parts)));
}

}  // namespace tokenbroker
