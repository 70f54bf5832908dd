#include "server/rpc/tls_files.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/files/watched_files.h"

namespace tokenbroker {
namespace {

using Chain = std::vector<X509Handle>;

constexpr std::string_view kChain = "a PEM certificate chain";
constexpr std::string_view kAuthorities = "PEM certificates of authorities";

absl::Status Unusable(const std::string& file, std::string_view what, const std::string& cause) {
  std::string text = absl::StrCat(file, ": ", std::string(what));
  if (!cause.empty()) absl::StrAppend(&text, " (", cause, ")");
  return absl::InvalidArgumentError(text);
}

// The value, or an error that names the file and what was expected of it.
template <typename T>
absl::StatusOr<T> ParsedFrom(const std::string& file, std::string_view what, absl::StatusOr<T> parsed) {
  if (parsed.ok()) return parsed;
  return Unusable(file, absl::StrCat("cannot be read as ", std::string(what)), std::string(parsed.status().message()));
}

absl::StatusOr<PrivateKeyHandle> ParseKey(const std::string& file, std::string_view pem) {
  return ParsedFrom(file, "a PEM key without a passphrase", ParsePemKey(pem));
}

absl::Status CheckPair(const ServerTlsPaths& paths, const Chain& chain, EVP_PKEY* key) {
  const std::optional<KeyPairFault> fault = FindKeyPairFault(chain, key);
  if (!fault.has_value()) return absl::OkStatus();
  switch (fault->kind) {
    case KeyPairFault::Kind::kNotFirst:
      return absl::InvalidArgumentError(absl::StrCat(
          paths.certificate_file, ": the server's own certificate must be the first of the chain; it is number ",
          fault->number, " (the one with the key in ", paths.key_file, ")"));
    case KeyPairFault::Kind::kMismatch:
      return Unusable(paths.key_file, "is not the key of the certificate in " + paths.certificate_file, fault->cause);
    case KeyPairFault::Kind::kCertificate:
      return Unusable(paths.certificate_file, "cannot be used as a server's certificate", fault->cause);
    case KeyPairFault::Kind::kKey:
      break;
  }
  return Unusable(paths.key_file, "cannot be used as a server's key", fault->cause);
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
  return ParsedFrom(file, what, ParsePemCertificates(pem));
}

absl::StatusOr<std::vector<X509Handle>> ParseAuthorities(const std::string& file, std::string_view pem) {
  return ParseCertificates(file, pem, kAuthorities);
}

absl::StatusOr<std::vector<X509CrlHandle>> ParseCrls(const std::string& file, std::string_view pem) {
  return ParsedFrom(file, "PEM revocation lists", ParsePemCrls(pem));
}

absl::StatusOr<WallTime> ValidateServerTls(const ServerTlsPaths& paths, const ServerTlsTexts& texts) {
  const absl::StatusOr<Chain> chain = ParseCertificates(paths.certificate_file, texts.certificate_pem, kChain);
  if (!chain.ok()) return chain.status();
  const absl::Status authorities = ParseAuthorities(paths.client_ca_file, texts.client_ca_pem).status();
  if (!authorities.ok()) return authorities;
  const absl::StatusOr<PrivateKeyHandle> key = ParseKey(paths.key_file, texts.key_pem.Reveal());
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
  std::optional<PrivateKeyHandle> key;
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
