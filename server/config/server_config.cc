#include "server/config/server_config.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "server/base/error.h"
#include "server/base/file_text.h"
#include "server/base/net_text.h"
#include "server/base/time_text.h"
#include "server/config/strict_yaml.h"
#include "server/domain/identity_text.h"
#include "server/domain/marker.h"
#include "server/domain/target.h"
#include "tokenbroker/config/v1/server_config.pb.h"

namespace tokenbroker {
namespace {

namespace pb = config::v1;

constexpr Duration kShortestSettle = seconds(180);
constexpr Duration kMaxFactsAge = seconds(60);
constexpr Duration kLongestConnectionAge = hours(1);
constexpr int kMostConnections = 10000;
constexpr int kMostIssuers = 16;
constexpr int kMostAudiences = 16;
constexpr std::size_t kLongestIssuer = 512;
constexpr Duration kWidestSkew = seconds(300);
constexpr Duration kShortestRefresh = minutes(2);
constexpr Duration kLongestRefresh = hours(24);
constexpr int kMostAtATime = 100000;  // Calls of a caller, connections.

// Checks one field after another and keeps the first error of each.
class Checker {
 public:
  void Fail(const std::string& field, const std::string& what, const std::string& rule) {
    if (!failed_.insert(field).second) return;
    const std::string text = what + ": " + rule;
    errors_.push_back(
        Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID", field + ": " + text).Field(field, text));
  }
  const std::string& Required(const std::string& field, const std::string& value) {
    if (value.empty()) Fail(field, "missing", "it is required");
    return value;
  }
  const std::string& Address(const std::string& field, const std::string& value) {
    if (Required(field, value).empty() || IsHostPort(value)) return value;
    Fail(field, Quote(value), "must be host:port, as in '0.0.0.0:8443' or '[::1]:0'");
    return value;
  }
  Duration Time(const std::string& field, const std::string& text, Duration if_absent) {
    if (text.empty()) return if_absent;
    const std::optional<Duration> value = ParseDuration(text);
    if (!value.has_value()) Fail(field, Quote(text), "must be a duration, as in '90s', '10m' or '1h'");
    return value.value_or(if_absent);
  }
  static std::string Quote(const std::string& text) { return "'" + text + "'"; }

  const std::vector<absl::Status>& errors() const { return errors_; }

 private:
  std::vector<absl::Status> errors_;
  std::set<std::string> failed_;
};

void CheckListen(const pb::Listen& listen, const SourceMap& map, Checker& check, ServerConfig& out) {
  out.grpc_address = check.Address("listen.grpc", listen.grpc());
  out.http_address = check.Address("listen.http", listen.http());
  out.certificate_file = check.Required("listen.certificate_file", listen.certificate_file());
  out.key_file = check.Required("listen.key_file", listen.key_file());
  out.client_ca_file = check.Required("listen.client_ca_file", listen.client_ca_file());
  out.client_crl_file = listen.client_crl_file();
  constexpr const char* kAge = "listen.max_connection_age";
  out.max_connection_age = check.Time(kAge, listen.max_connection_age(), out.max_connection_age);
  if (out.max_connection_age <= Duration(0) || out.max_connection_age > kLongestConnectionAge) {
    check.Fail(kAge, Checker::Quote(listen.max_connection_age()), "must be more than nothing and at most 1h");
  }
  if (!listen.client_certificates().empty()) {
    out.client_certificate_required = listen.client_certificates() == "required";
    if (!out.client_certificate_required && listen.client_certificates() != "optional") {
      check.Fail("listen.client_certificates", Checker::Quote(listen.client_certificates()),
                 "must be required or optional");
    }
  }
  const auto bound = [&](const std::string& field, int value, int& bounded) {
    if (map.Contains(field)) bounded = value;
    if (bounded < 1 || bounded > kMostAtATime) check.Fail(field, std::to_string(bounded), "must be from 1 to 100000");
  };
  bound("listen.max_calls_per_caller", listen.max_calls_per_caller(), out.max_calls_per_caller);
  bound("listen.max_connections", listen.max_connections(), out.max_connections);
}

void CheckTrustDomains(const pb::IdentitySources& identity, Checker& check, ServerConfig& out) {
  for (int i = 0; i < identity.trust_domains_size(); ++i) {
    const pb::TrustDomain& domain = identity.trust_domains(i);
    const std::string at = "identity.trust_domains[" + std::to_string(i) + "].";
    TrustDomainConfig checked = {LowerCase(check.Required(at + "name", domain.name())),
                                 check.Required(at + "ca_file", domain.ca_file())};
    if (!IsTrustDomain(checked.name)) {
      check.Fail(at + "name", Checker::Quote(domain.name()),
                 "must be a trust domain, as in 'example.org': 1 to 255 characters of [a-z0-9._-]");
    }
    if (std::any_of(out.trust_domains.begin(), out.trust_domains.end(),
                    [&](const TrustDomainConfig& each) { return each.name == checked.name; })) {
      check.Fail(at + "name", Checker::Quote(domain.name()), "must be in the list once only");
    }
    out.trust_domains.push_back(std::move(checked));
  }
}

void CheckGitLab(const pb::GitLab& gitlab, const SourceMap& map, Checker& check, GitLabConfig& out) {
  const std::string at = "gitlab[0].";
  out.name = check.Required(at + "name", gitlab.name());
  const auto fits = [](char each) {
    return (each >= 'a' && each <= 'z') || (each >= '0' && each <= '9') || each == '-';
  };
  if (out.name.size() > 32 || !std::all_of(out.name.begin(), out.name.end(), fits)) {
    check.Fail(at + "name", Checker::Quote(out.name), "must be 1 to 32 characters of [a-z0-9-]");
  }
  out.url = check.Required(at + "url", gitlab.url());
  // A URL that is refused is not shown: it may hold a password.
  if (const std::string_view problem = UrlProblem(out.url); !problem.empty()) {
    check.Fail(at + "url", std::string(problem), "must be https://host[:port][/path] (http:// on loopback alone)");
  }
  while (out.url.ends_with('/')) out.url.pop_back();
  out.issuer_file = check.Required(at + "issuer_file", gitlab.issuer_file());
  out.ca_file = gitlab.ca_file();
  out.proxy = gitlab.proxy();
  if (!out.proxy.empty() && !IsProxyUrl(out.proxy)) {
    check.Fail(at + "proxy", "not a proxy", "must be http://host:port, without user and path");
  }
  if (map.Contains(at + "max_connections")) out.max_connections = gitlab.max_connections();
  if (out.max_connections < 1 || out.max_connections > kMostConnections) {
    check.Fail(at + "max_connections", std::to_string(out.max_connections), "must be from 1 to 10000");
  }
  out.facts_max_age = check.Time(at + "facts_max_age", gitlab.facts_max_age(), out.facts_max_age);
  if (out.facts_max_age > kMaxFactsAge) {
    check.Fail(at + "facts_max_age", Checker::Quote(gitlab.facts_max_age()), "must be from 0s to 60s");
  }
  out.settle = check.Time(at + "settle", gitlab.settle(), out.settle);
  if (out.settle < kShortestSettle) {
    check.Fail(at + "settle", Checker::Quote(gitlab.settle()), "must be at least 180s");
  }
}

bool IsPlainText(const std::string& text) {
  return !text.empty() && text.size() <= kLongestIssuer &&
         std::all_of(text.begin(), text.end(), [](char each) { return each > ' ' && each <= '~'; });
}

// Where the keys are: a file, or a document that is fetched.
void CheckKeys(const pb::JwtIssuer& issuer, const std::string& at, Checker& check, JwtIssuerConfig& out) {
  out.jwks_file = issuer.jwks_file();
  out.discovery_url = issuer.discovery_url();
  out.ca_file = issuer.ca_file();
  out.bearer_file = issuer.bearer_file();
  if (!out.jwks_file.empty()) {
    const std::array<std::pair<std::string_view, std::string_view>, 4> fetching = {
        {{"discovery_url", out.discovery_url},
         {"ca_file", out.ca_file},
         {"bearer_file", out.bearer_file},
         {"refresh", issuer.refresh()}}};
    for (const auto& [name, value] : fetching) {
      if (!value.empty()) check.Fail(at + std::string(name), "nothing is fetched", "it has no place beside jwks_file");
    }
    return;
  }
  if (!out.discovery_url.empty()) {
    if (const std::string_view problem = UrlProblem(out.discovery_url); !problem.empty()) {
      check.Fail(at + "discovery_url", std::string(problem),
                 "must be https://host[:port][/path] (http:// on loopback alone)");
    }
  } else if (const std::string_view problem = UrlProblem(out.issuer); !problem.empty()) {
    check.Fail(
        at + "issuer", std::string(problem),
        "must be https://host[:port][/path] (http:// on loopback alone), or have jwks_file or discovery_url beside it");
  }
  out.refresh = check.Time(at + "refresh", issuer.refresh(), out.refresh);
  if (out.refresh < kShortestRefresh || out.refresh > kLongestRefresh) {
    check.Fail(at + "refresh", Checker::Quote(issuer.refresh()), "must be from 2m to 24h");
  }
}

void CheckIssuer(const pb::JwtIssuer& issuer, const std::string& at, Checker& check, JwtIssuerConfig& out) {
  out.issuer = check.Required(at + "issuer", issuer.issuer());
  if (!IsPlainText(out.issuer)) {
    check.Fail(at + "issuer", "not printable", "must be 1 to 512 characters of ASCII without blanks");
  }
  if (issuer.audiences_size() < 1 || issuer.audiences_size() > kMostAudiences) {
    check.Fail(at + "audiences", std::to_string(issuer.audiences_size()) + " audiences", "must be 1 to 16");
  }
  for (int index = 0; index < issuer.audiences_size(); ++index) {
    out.audiences.push_back(issuer.audiences(index));
    if (IsPlainText(out.audiences.back())) continue;
    check.Fail(at + "audiences[" + std::to_string(index) + "]", "empty or not printable",
               "must be 1 to 512 characters of ASCII without blanks");
  }
  CheckKeys(issuer, at, check, out);
  out.clock_skew = check.Time(at + "clock_skew", issuer.clock_skew(), out.clock_skew);
  if (out.clock_skew > kWidestSkew) {
    check.Fail(at + "clock_skew", Checker::Quote(issuer.clock_skew()), "must be at most 300s");
  }
}

void CheckIssuers(const pb::IdentitySources& identity, Checker& check, ServerConfig& out) {
  if (identity.issuers_size() > kMostIssuers) {
    check.Fail("identity.issuers", std::to_string(identity.issuers_size()) + " issuers", "must be at most 16");
  }
  for (int index = 0; index < identity.issuers_size(); ++index) {
    const std::string at = "identity.issuers[" + std::to_string(index) + "].";
    JwtIssuerConfig checked;
    CheckIssuer(identity.issuers(index), at, check, checked);
    if (std::any_of(out.issuers.begin(), out.issuers.end(),
                    [&](const auto& each) { return each.issuer == checked.issuer; })) {
      check.Fail(at + "issuer", Checker::Quote(checked.issuer), "stands there twice");
    }
    out.issuers.push_back(std::move(checked));
  }
}

void CheckLog(const pb::Log& log, Checker& check, ServerConfig& out) {
  constexpr std::array<std::pair<std::string_view, LogLevel>, 5> kLevels = {{{"trace", LogLevel::kTrace},
                                                                             {"debug", LogLevel::kDebug},
                                                                             {"info", LogLevel::kInfo},
                                                                             {"warn", LogLevel::kWarn},
                                                                             {"error", LogLevel::kError}}};
  if (log.level().empty()) return;
  for (const auto& [name, level] : kLevels) {
    if (name != log.level()) continue;
    out.log_level = level;
    return;
  }
  check.Fail("log.level", Checker::Quote(log.level()), "must be trace, debug, info, warn or error");
}

}  // namespace

ValidatedConfig ValidateServerConfig(const std::string& path) {
  const absl::StatusOr<FileText> file = ReadFileText(path);
  if (!file.ok()) return {{}, {file.status()}};
  pb::ServerConfig source;
  const absl::StatusOr<SourceMap> map = ParseStrictYaml(path, file->text, &source);
  if (!map.ok()) return {{}, {map.status()}};

  Checker check;
  ValidatedConfig validated;
  ServerConfig& out = validated.config;
  out.broker = check.Required("broker", source.broker());
  if (!IsBrokerName(out.broker)) {
    check.Fail("broker", Checker::Quote(out.broker), "must be 2 to 12 characters of [a-z0-9]");
  }
  CheckListen(source.listen(), *map, check, out);
  CheckTrustDomains(source.identity(), check, out);
  CheckIssuers(source.identity(), check, out);
  if (!out.client_certificate_required && out.issuers.empty()) {
    check.Fail("listen.client_certificates", "'optional'", "needs an issuer under identity.issuers");
  }
  out.sqlite_file = check.Required("ledger.sqlite_file", source.ledger().sqlite_file());
  out.policy_file = check.Required("policy_file", source.policy_file());
  if (source.gitlab_size() == 1) {
    CheckGitLab(source.gitlab(0), *map, check, out.gitlab);
  } else {
    check.Fail("gitlab", std::to_string(source.gitlab_size()) + " instances", "there must be exactly one");
  }
  CheckLog(source.log(), check, out);
  out.allow_admin_targets = source.danger().allow_admin_targets();
  for (const absl::Status& error : check.errors()) validated.errors.push_back(Located(error, *map));
  return validated;
}

absl::StatusOr<ServerConfig> LoadServerConfig(const std::string& path) {
  ValidatedConfig validated = ValidateServerConfig(path);
  if (!validated.errors.empty()) return validated.errors.front();
  return std::move(validated.config);
}

}  // namespace tokenbroker
