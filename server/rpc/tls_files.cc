#include "server/rpc/tls_files.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <ctime>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/files/watched_files.h"

namespace tokenbroker {
namespace {

using Memory = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using Context = std::unique_ptr<SSL_CTX, OpensslFree<SSL_CTX_free>>;
using Chain = std::vector<X509Handle>;

constexpr std::string_view kChain = "a PEM certificate chain";
constexpr std::string_view kAuthorities = "PEM certificates of authorities";

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

// The label of a "-----BEGIN X-----" line, if `line` is one.
std::optional<std::string_view> LabelOf(std::string_view line, std::string_view begin) {
  constexpr std::string_view kDashes = "-----";
  if (!line.starts_with(begin) || !line.ends_with(kDashes)) return std::nullopt;
  if (line.size() <= begin.size() + kDashes.size()) return std::nullopt;
  return line.substr(begin.size(), line.size() - begin.size() - kDashes.size());
}

// Whether every BEGIN line is whole and has its END line, and the other way round.
bool HasWholeBlocks(std::string_view pem) {
  std::optional<std::string_view> open;
  while (!pem.empty()) {
    std::string_view line = pem.substr(0, pem.find('\n'));
    pem.remove_prefix(std::min(pem.size(), line.size() + 1));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
    if (!line.starts_with("--") && line.find("-----") == std::string_view::npos) continue;
    const std::optional<std::string_view> begin = LabelOf(line, "-----BEGIN ");
    const std::optional<std::string_view> end = LabelOf(line, "-----END ");
    if (begin.has_value() && !open.has_value()) {
      open = begin;
    } else if (end.has_value() && open == end) {
      open.reset();
    } else {
      return false;
    }
  }
  return !open.has_value();
}

WallTime EndOf(const X509* certificate) {
  std::tm parts = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) return WallTime::min();
  return WallTime(seconds(timegm(&parts)));
}

absl::StatusOr<Key> ParseKey(const std::string& file, std::string_view pem) {
  ERR_clear_error();
  const Memory memory = View(pem);
  Key key(PEM_read_bio_PrivateKey(memory.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) return Unusable(file, "cannot be read as a PEM key without a passphrase");
  return key;
}

// Whether OpenSSL takes the pair for a server's: it takes no key that is too short, for one.
absl::Status CheckPair(const ServerTlsPaths& paths, const Chain& chain, EVP_PKEY* key) {
  const Context context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return absl::InternalError("OpenSSL cannot make a context");
  if (X509_check_private_key(chain.front().get(), key) != 1) {
    ERR_clear_error();
    for (std::size_t i = 1; i < chain.size(); ++i) {
      if (X509_check_private_key(chain[i].get(), key) == 1) {
        return absl::InvalidArgumentError(absl::StrCat(
            paths.certificate_file, ": the server's own certificate must be the first of the chain; it is ", "number ",
            i + 1, " (the one with the key in ", paths.key_file, ")"));
      }
    }
    (void)X509_check_private_key(chain.front().get(), key);  // The cause of this one counts.
    return Unusable(paths.key_file, "is not the key of the certificate in " + paths.certificate_file);
  }
  if (SSL_CTX_use_certificate(context.get(), chain.front().get()) != 1) {
    return Unusable(paths.certificate_file, "cannot be used as a server's certificate");
  }
  if (SSL_CTX_use_PrivateKey(context.get(), key) != 1 || SSL_CTX_check_private_key(context.get()) != 1) {
    return Unusable(paths.key_file, "cannot be used as a server's key");
  }
  return absl::OkStatus();
}

// Every object of one kind in a text, read by OpenSSL's `read`; there is at least one.
template <typename Handle>
absl::StatusOr<std::vector<Handle>> ParseAll(const std::string& file, std::string_view pem, std::string_view what,
                                             typename Handle::pointer (*read)(BIO*, typename Handle::pointer*,
                                                                              pem_password_cb*, void*)) {
  const std::string cannot = absl::StrCat("cannot be read as ", std::string(what));
  ERR_clear_error();
  if (!HasWholeBlocks(pem)) return Unusable(file, cannot + " (a BEGIN or END line is cut short or missing)");
  const Memory memory = View(pem);
  std::vector<Handle> all;
  while (const auto each = read(memory.get(), nullptr, NoPassphrase, nullptr)) all.emplace_back(each);
  const bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!is_end || all.empty()) return Unusable(file, cannot);
  ERR_clear_error();
  return all;
}

// The value, or its error at the end of `errors`.
template <typename T>
std::optional<T> Keep(absl::StatusOr<T> value, std::vector<absl::Status>& errors) {
  if (value.ok()) return *std::move(value);
  errors.push_back(value.status());
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::vector<X509Handle>> ParseCertificates(const std::string& file, std::string_view pem,
                                                          std::string_view what) {
  return ParseAll<X509Handle>(file, pem, what, &PEM_read_bio_X509);
}

absl::StatusOr<std::vector<X509Handle>> ParseAuthorities(const std::string& file, std::string_view pem) {
  return ParseCertificates(file, pem, kAuthorities);
}

absl::StatusOr<std::vector<X509CrlHandle>> ParseCrls(const std::string& file, std::string_view pem) {
  return ParseAll<X509CrlHandle>(file, pem, "PEM revocation lists", &PEM_read_bio_X509_CRL);
}

absl::StatusOr<WallTime> ValidateServerTls(const ServerTlsPaths& paths, const ServerTlsTexts& texts) {
  const absl::StatusOr<Chain> chain = ParseCertificates(paths.certificate_file, texts.certificate_pem, kChain);
  if (!chain.ok()) return chain.status();
  const absl::Status authorities = ParseAuthorities(paths.client_ca_file, texts.client_ca_pem).status();
  if (!authorities.ok()) return authorities;
  const absl::StatusOr<Key> key = ParseKey(paths.key_file, texts.key_pem.Reveal());
  if (!key.ok()) return key.status();
  const absl::Status pair = CheckPair(paths, *chain, key->get());
  if (!pair.ok()) return pair;
  return EndOf(chain->front().get());
}

absl::Status CheckAuthoritiesFile(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadWatchedFile(path);
  return text.ok() ? ParseAuthorities(path, *text).status() : text.status();
}

std::vector<absl::Status> FindServerTlsErrors(const ServerTlsPaths& paths) {
  std::vector<absl::Status> errors;
  std::optional<Chain> chain;
  if (const auto text = Keep(ReadWatchedFile(paths.certificate_file), errors)) {
    chain = Keep(ParseCertificates(paths.certificate_file, *text, kChain), errors);
  }
  std::optional<Key> key;
  if (auto text = Keep(ReadWatchedFile(paths.key_file), errors)) {
    key = Keep(ParseKey(paths.key_file, *text), errors);
    Wipe(*text);
  }
  if (chain.has_value() && key.has_value()) {
    const absl::Status pair = CheckPair(paths, *chain, key->get());
    if (!pair.ok()) errors.push_back(pair);
  }
  const absl::Status authorities = CheckAuthoritiesFile(paths.client_ca_file);
  if (!authorities.ok()) errors.push_back(authorities);
  for (const TrustDomainFile& each : paths.trust_domains) {
    const absl::Status checked = CheckAuthoritiesFile(each.ca_file);
    if (!checked.ok()) errors.push_back(checked);
  }
  if (paths.client_crl_file.empty()) return errors;
  if (const auto text = Keep(ReadWatchedFile(paths.client_crl_file), errors)) {
    (void)Keep(ParseCrls(paths.client_crl_file, *text), errors);
  }
  return errors;
}

}  // namespace tokenbroker
