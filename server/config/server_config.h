#pragma once
// The configuration file of the server, checked and with its defaults.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/telemetry/log.h"

namespace tokenbroker {

struct GitLabConfig {
  std::string name;
  std::string url;  // Without a slash at its end.
  std::string issuer_file;
  std::string ca_file;  // Empty: the system's authorities.
  std::string proxy;    // Empty: none.
  int max_connections = 64;
  Duration settle = minutes(10);
  Duration facts_max_age = seconds(10);
};

struct JwtIssuerConfig {
  std::string issuer;
  std::vector<std::string> audiences;
  std::string jwks_file;      // Empty: by discovery.
  std::string discovery_url;  // Empty: the one that the issuer's name gives, or none with a file.
  std::string ca_file;        // Empty: the system's authorities.
  std::string bearer_file;    // Empty: none.
  Duration clock_skew = seconds(60);
  Duration refresh = minutes(10);
};

struct TrustDomainConfig {
  std::string name;  // Lower case.
  std::string ca_file;
};

// What each field means is written beside the schema's fields (proto/tokenbroker/config/v1/server_config.proto).
struct ServerConfig {
  std::string broker;
  std::string grpc_address, http_address;  // "host:port".
  std::string certificate_file, key_file, client_ca_file;
  Duration max_connection_age = hours(1);
  bool client_certificate_required = true;
  int max_calls_per_caller = 256;
  int max_connections = 1000;
  std::string client_crl_file;  // Empty: none.
  std::vector<TrustDomainConfig> trust_domains;
  std::string sqlite_file;
  std::string policy_file;
  GitLabConfig gitlab;
  std::vector<JwtIssuerConfig> issuers;
  LogLevel log_level = LogLevel::kInfo;
  bool allow_admin_targets = false;
};

// Reads and validates the file. Errors are INVALID_ARGUMENT, reason CONFIG_INVALID, with the position before the
// message: "config.yaml:12:10: gitlab[0].url: plain http: must be https, ...". Of several errors the first is returned.
// Files that are named in it are not opened.
absl::StatusOr<ServerConfig> LoadServerConfig(const std::string& path);

// The same with every error, one for each field, in the order in which fields are validated. A field with an error
// keeps its text or its default. A text that is not YAML of the schema is one error, and leaves `config` empty.
struct ValidatedConfig {
  ServerConfig config;
  std::vector<absl::Status> errors;
};
ValidatedConfig ValidateServerConfig(const std::string& path);

}  // namespace tokenbroker
