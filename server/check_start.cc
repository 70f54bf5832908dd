#include "server/check_start.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/listen_address.h"
#include "server/base/secret_file.h"
#include "server/config/policy_file.h"
#include "server/config/policy_options.h"
#include "server/config/server_config.h"
#include "server/files/watched_files.h"
#include "server/identity/bearer_verifier.h"
#include "server/ledger/ledger_check.h"
#include "server/rpc/tls_files.h"

namespace tokenbroker {
namespace {

// Whether the address can be one to listen on: its host is an address, or a name that resolves.
absl::Status CheckListenAddress(const std::string& field, const std::string& address) {
  const absl::Status resolved = ResolveListenAddress(address).status();
  if (resolved.ok()) return resolved;
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", std::string(resolved.message())));
}

// A file of one secret, read as a start reads it.
absl::Status CheckSecretFile(const std::string& field, const std::string& path) {
  absl::StatusOr<std::string> text = ReadWatchedFile(path);
  const absl::Status checked = text.ok() ? ParseSecretText(path, *std::move(text)).status() : text.status();
  if (checked.ok()) return checked;
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", std::string(checked.message())));
}

}  // namespace

std::vector<absl::Status> FindStartErrors(const std::string& config_file) {
  ValidatedConfig validated = ValidateServerConfig(config_file);
  std::vector<absl::Status> errors = std::move(validated.errors);
  const ServerConfig& config = validated.config;
  const auto keep = [&errors](const absl::Status& status) {
    if (!status.ok()) errors.push_back(status);
  };
  const auto keep_all = [&errors](const std::vector<absl::Status>& more) {
    errors.insert(errors.end(), more.begin(), more.end());
  };
  // What is missing in the configuration is an error already.
  if (config.broker.empty() && config.policy_file.empty()) return errors;
  if (errors.empty()) {
    keep(CheckListenAddress("listen.grpc", config.grpc_address));
    keep(CheckListenAddress("listen.http", config.http_address));
  }
  if (!config.certificate_file.empty() && !config.key_file.empty() && !config.client_ca_file.empty()) {
    ServerTlsPaths paths = {config.certificate_file, config.key_file, config.client_ca_file};
    paths.client_crl_file = config.client_crl_file;
    for (const TrustDomainConfig& each : config.trust_domains) {
      if (!each.ca_file.empty()) paths.trust_domains.push_back({each.name, each.ca_file});
    }
    keep_all(FindServerTlsErrors(paths));
  }
  for (const JwtIssuerConfig& issuer : config.issuers) {
    if (!issuer.jwks_file.empty()) keep(CheckKeyFile(issuer.jwks_file));
    if (!issuer.ca_file.empty()) keep(CheckAuthoritiesFile(issuer.ca_file));
    if (!issuer.bearer_file.empty()) keep(CheckSecretFile("bearer_file", issuer.bearer_file));
  }
  if (!config.sqlite_file.empty()) keep_all(FindLedgerErrors(config.sqlite_file, config.broker));
  if (!config.policy_file.empty()) keep(CheckPolicyFile(config.policy_file, PolicyOptionsOf(config)));
  if (!config.gitlab.issuer_file.empty()) keep(CheckSecretFile("gitlab[0].issuer_file", config.gitlab.issuer_file));
  if (!config.gitlab.ca_file.empty()) keep(CheckAuthoritiesFile(config.gitlab.ca_file));
  return errors;
}

}  // namespace tokenbroker
