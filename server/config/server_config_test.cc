#include "server/config/server_config.h"

#include <gtest/gtest.h>

#include <fstream>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

constexpr char kGood[] = R"(broker: test
listen:
  grpc: 127.0.0.1:0
  http: "[::1]:9464"
  certificate_file: server.pem
  key_file: server.key
  client_ca_file: ca.pem
ledger:
  sqlite_file: ledger.db
policy_file: policy.yaml
gitlab:
  - name: main
    url: https://gitlab.example.com
    issuer_file: issuer
)";

absl::StatusOr<ServerConfig> Load(const std::string& text) {
  const std::string path = testing::TempDir() + "/config.yaml";
  std::ofstream(path, std::ios::binary) << text;
  return LoadServerConfig(path);
}

TEST(ServerConfigTest, Defaults) {
  const auto config = Load(kGood);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->broker, "test");
  EXPECT_EQ(config->grpc_address, "127.0.0.1:0");
  EXPECT_EQ(config->http_address, "[::1]:9464");
  EXPECT_EQ(config->certificate_file, "server.pem");
  EXPECT_EQ(config->key_file, "server.key");
  EXPECT_EQ(config->client_ca_file, "ca.pem");
  EXPECT_EQ(config->max_connection_age, hours(1));
  EXPECT_TRUE(config->client_certificate_required);
  EXPECT_EQ(config->max_calls_per_caller, 256);
  EXPECT_EQ(config->max_connections, 1000);
  EXPECT_TRUE(config->trust_domains.empty());
  EXPECT_EQ(config->sqlite_file, "ledger.db");
  EXPECT_EQ(config->policy_file, "policy.yaml");
  EXPECT_EQ(config->gitlab.name, "main");
  EXPECT_EQ(config->gitlab.url, "https://gitlab.example.com");
  EXPECT_EQ(config->gitlab.issuer_file, "issuer");
  EXPECT_EQ(config->gitlab.ca_file, "");
  EXPECT_EQ(config->gitlab.proxy, "");
  EXPECT_EQ(config->gitlab.max_connections, 64);
  EXPECT_EQ(config->gitlab.settle, minutes(10));
  EXPECT_EQ(config->gitlab.facts_max_age, seconds(10));
  EXPECT_TRUE(config->issuers.empty());
  EXPECT_EQ(config->log_level, LogLevel::kInfo);
  EXPECT_FALSE(config->allow_admin_targets);
}

TEST(ServerConfigTest, Everything) {
  const auto config =
      Load(std::string(kGood) +
           "    ca_file: gitlab.pem\n    proxy: http://proxy:3128\n    max_connections: 10000\n"
           "    settle: 180s\n    facts_max_age: 0s\nlog: {level: debug}\ndanger: {allow_admin_targets: true}\n"
           "identity: {trust_domains: [{name: example.org, ca_file: a.pem}, {name: Test, ca_file: b.pem}]}\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->gitlab.ca_file, "gitlab.pem");
  EXPECT_EQ(config->gitlab.proxy, "http://proxy:3128");
  EXPECT_EQ(config->gitlab.max_connections, 10000);
  EXPECT_EQ(config->gitlab.settle, seconds(180));
  EXPECT_EQ(config->gitlab.facts_max_age, seconds(0));
  EXPECT_EQ(config->log_level, LogLevel::kDebug);
  EXPECT_TRUE(config->allow_admin_targets);
  ASSERT_EQ(config->trust_domains.size(), 2u);
  EXPECT_EQ(config->trust_domains[0].name, "example.org");
  EXPECT_EQ(config->trust_domains[0].ca_file, "a.pem");
  EXPECT_EQ(config->trust_domains[1].name, "test");
}

TEST(ServerConfigTest, Issuers) {
  const auto good = Load(std::string(kGood) + R"(identity:
  issuers:
    - issuer: https://kubernetes.default.svc
      audiences: [broker]
    - issuer: kubernetes/serviceaccount
      audiences: [one, https://two]
      discovery_url: https://10.0.0.1:6443/.well-known/openid-configuration
      ca_file: ca.crt
      bearer_file: token
      clock_skew: 300s
      refresh: 24h
    - issuer: any-text
      audiences: [broker]
      jwks_file: keys.json
      clock_skew: 0s
)");
  ASSERT_TRUE(good.ok()) << good.status();
  ASSERT_EQ(good->issuers.size(), 3U);
  const JwtIssuerConfig& first = good->issuers[0];
  EXPECT_EQ(first.issuer, "https://kubernetes.default.svc");
  EXPECT_EQ(first.audiences, std::vector<std::string>{"broker"});
  EXPECT_EQ(first.jwks_file + first.discovery_url + first.ca_file + first.bearer_file, "");
  EXPECT_EQ(first.clock_skew, seconds(60));
  EXPECT_EQ(first.refresh, minutes(10));
  const JwtIssuerConfig& second = good->issuers[1];
  EXPECT_EQ(second.issuer, "kubernetes/serviceaccount");
  EXPECT_EQ(second.audiences, (std::vector<std::string>{"one", "https://two"}));
  EXPECT_EQ(second.discovery_url, "https://10.0.0.1:6443/.well-known/openid-configuration");
  EXPECT_EQ(second.ca_file, "ca.crt");
  EXPECT_EQ(second.bearer_file, "token");
  EXPECT_EQ(second.clock_skew, seconds(300));
  EXPECT_EQ(second.refresh, hours(24));
  const JwtIssuerConfig& third = good->issuers[2];
  EXPECT_EQ(third.issuer, "any-text");
  EXPECT_EQ(third.jwks_file, "keys.json");
  EXPECT_EQ(third.clock_skew, seconds(0));
}

struct Row {
  std::string name;
  std::string from, to;  // In the good text; an empty `from` puts it at the end.
  std::string says;      // After the file's path.
};

class BadConfigTest : public testing::TestWithParam<Row> {};

TEST_P(BadConfigTest, NamesPlaceFieldAndRule) {
  std::string text = kGood;
  const std::size_t at = GetParam().from.empty() ? text.size() : text.find(GetParam().from);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, GetParam().from.size(), GetParam().to);
  const auto config = Load(text);
  ASSERT_TRUE(absl::IsInvalidArgument(config.status())) << config.status();
  EXPECT_EQ(ReasonOf(config.status()), "CONFIG_INVALID");
  const std::string message(config.status().message());
  EXPECT_NE(message.find("/config.yaml:" + GetParam().says), std::string::npos) << message;
}

// The section of one issuer, whose name stands in line 17.
std::string Issuer(const std::string& name, const std::string& rest) {
  return "identity:\n  issuers:\n    - issuer: " + name + "\n      " + rest + "\n";
}
std::string ManyIssuers(int count) {
  std::string text = "identity:\n  issuers:\n";
  for (int each = 0; each < count; ++each) {
    text += "    - {issuer: 'https://a" + std::to_string(each) + "', audiences: [a]}\n";
  }
  return text;
}

constexpr char kUrl[] = "https://gitlab.example.com";

INSTANTIATE_TEST_SUITE_P(
    Faults, BadConfigTest,
    testing::ValuesIn<Row>({
        {"UnknownField", "ledger:", "ledgr:", "8:1: ledgr: unknown field; did you mean 'ledger'?"},
        {"Broker", "broker: test", "broker: Test_1", "1:9: broker: 'Test_1': must be 2 to 12 characters of [a-z0-9]"},
        {"NoBroker", "broker: test\n", "", "1:1: broker: missing: it is required"},
        {"NoGrpc", "  grpc: 127.0.0.1:0\n", "", "2:1: listen.grpc: missing"},
        {"NoPort", "127.0.0.1:0", "127.0.0.1", "3:9: listen.grpc: '127.0.0.1': must be host:port"},
        {"HighPort", ":9464", ":94640", "4:9: listen.http"},
        {"NoKey", "  key_file: server.key\n", "", "2:1: listen.key_file: missing"},
        {"NoLedger", "ledger:\n  sqlite_file: ledger.db\n", "", "1:1: ledger.sqlite_file: missing"},
        {"NoPolicy", "policy_file: policy.yaml\n", "", "1:1: policy_file: missing"},
        {"Age", "  key_file", "  max_connection_age: 61m\n  key_file",
         "6:23: listen.max_connection_age: '61m': must be"},
        {"AgeZero", "  key_file", "  max_connection_age: 0s\n  key_file", "6:23: listen.max_connection_age"},
        {"AgeWithoutUnit", "  key_file", "  max_connection_age: 60\n  key_file",
         "6:23: listen.max_connection_age: '60': must be a duration"},
        {"Certificates", "  key_file", "  client_certificates: none\n  key_file",
         "6:24: listen.client_certificates: 'none': must be required or optional"},
        {"NobodyToVouch", "  key_file", "  client_certificates: optional\n  key_file",
         "6:24: listen.client_certificates: 'optional': needs an issuer under identity.issuers"},
        {"NoCalls", "  key_file", "  max_calls_per_caller: 0\n  key_file",
         "6:25: listen.max_calls_per_caller: 0: must be from 1 to 100000"},
        {"ManyCallers", "  key_file", "  max_connections: 100001\n  key_file",
         "6:20: listen.max_connections: 100001: must be from 1 to 100000"},
        {"TrustDomain", "", "identity: {trust_domains: [{name: a, ca_file: f}, {name: 'b/c', ca_file: f}]}\n",
         "15:58: identity.trust_domains[1].name: 'b/c': must be"},
        {"TrustDomainWithoutAuthorities", "", "identity: {trust_domains: [{name: a}]}\n",
         "15:28: identity.trust_domains[0].ca_file: missing"},
        {"TrustDomainTwice", "", "identity: {trust_domains: [{name: a, ca_file: f}, {name: A, ca_file: g}]}\n",
         "15:58: identity.trust_domains[1].name: 'A': must be in the list once only"},
        {"TrustDomainIsAName", "", "identity: {trust_domains: [example.org]}\n",
         "15:28: identity.trust_domains[0]: must be a mapping, not a single value"},
        {"TwoGitLabs", "", "  - name: other\n", "11:1: gitlab: 2 instances: there must be exactly one"},
        {"GitLabName", "name: main", "name: Main", "12:11: gitlab[0].name"},
        {"PlainHttp", kUrl, "http://gitlab.example.com",
         "13:10: gitlab[0].url: plain http to another machine: must be https://"},
        {"NoScheme", kUrl, "gitlab.example.com", "13:10: gitlab[0].url: no known scheme: must be https://"},
        {"User", kUrl, "https://me@gitlab.example.com", "13:10: gitlab[0].url: a user has no place in it"},
        {"Proxy", "", "    proxy: https://user:secret@proxy:1\n",
         "15:12: gitlab[0].proxy: not a proxy: must be http://"},
        {"ManyConnections", "", "    max_connections: 10001\n",
         "15:22: gitlab[0].max_connections: 10001: must be from 1"},
        {"NoConnections", "", "    max_connections: 0\n", "15:22: gitlab[0].max_connections: 0: must be"},
        {"NegativeConnections", "", "    max_connections: -1\n", "15:22: gitlab[0].max_connections: -1"},
        {"OldFacts", "", "    facts_max_age: 61s\n", "15:20: gitlab[0].facts_max_age: '61s': must be from 0s to 60s"},
        {"ShortSettle", "", "    settle: 179s\n", "15:13: gitlab[0].settle: '179s': must be at least 180s"},
        {"IssuerMissing", "", Issuer("''", "audiences: [a]"), "17:15: identity.issuers[0].issuer: missing"},
        {"IssuerWithBlank", "", Issuer("'a b'", "audiences: [a]\n      jwks_file: k"),
         "17:15: identity.issuers[0].issuer: not printable"},
        {"IssuerIsNoUrl", "", Issuer("a", "audiences: [a]"),
         "17:15: identity.issuers[0].issuer: no known scheme: must be https://"},
        {"IssuerOverPlainHttp", "", Issuer("http://issuer.test", "audiences: [a]"),
         "17:15: identity.issuers[0].issuer: plain http to another machine"},
        {"DiscoveryOverPlainHttp", "", Issuer("a", "audiences: [a]\n      discovery_url: http://issuer.test/x"),
         "19:22: identity.issuers[0].discovery_url: plain http to another machine"},
        {"IssuerTwice", "", Issuer("https://a", "audiences: [a]\n    - issuer: https://a\n      audiences: [a]"),
         "19:15: identity.issuers[1].issuer: 'https://a': stands there twice"},
        {"NoAudience", "", Issuer("https://a", "audiences: []"), "18:7: identity.issuers[0].audiences: 0 audiences"},
        {"EmptyAudience", "", Issuer("https://a", "audiences: ['']"), "18:19: identity.issuers[0].audiences[0]: empty"},
        {"FileAndUrl", "", Issuer("https://a", "audiences: [a]\n      jwks_file: k\n      discovery_url: https://a/x"),
         "20:22: identity.issuers[0].discovery_url: nothing is fetched: it has no place beside jwks_file"},
        {"FileAndRefresh", "", Issuer("https://a", "audiences: [a]\n      jwks_file: k\n      refresh: 10m"),
         "20:16: identity.issuers[0].refresh: nothing is fetched"},
        {"WideSkew", "", Issuer("https://a", "audiences: [a]\n      clock_skew: 301s"),
         "19:19: identity.issuers[0].clock_skew: '301s': must be at most 300s"},
        {"ShortRefresh", "", Issuer("https://a", "audiences: [a]\n      refresh: 119s"),
         "19:16: identity.issuers[0].refresh: '119s': must be from 2m to 24h"},
        {"LongRefresh", "", Issuer("https://a", "audiences: [a]\n      refresh: 24h1s"),
         "19:16: identity.issuers[0].refresh: '24h1s': must be"},
        {"ManyIssuers", "", ManyIssuers(17), "16:3: identity.issuers: 17 issuers: must be at most 16"},
        {"Level", "", "log:\n  level: loud\n", "16:10: log.level: 'loud': must be trace, debug, info, warn or error"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(BadConfigTest, NeverShowsAPassword) {
  for (const char* line : {"    proxy: http://user:hunter2@proxy:1\n", "    proxy: hunter2\n"}) {
    const auto config = Load(std::string(kGood) + line);
    ASSERT_FALSE(config.ok());
    EXPECT_EQ(std::string(config.status().message()).find("hunter2"), std::string::npos);
  }
}

TEST(BadConfigTest, MissingFile) {
  const auto config = LoadServerConfig("/nowhere/config.yaml");
  EXPECT_EQ(config.status().message(), "/nowhere/config.yaml: cannot be read: No such file or directory");
  EXPECT_NE(std::string(LoadServerConfig(testing::TempDir()).status().message()).find("not a file"), std::string::npos);
}

}  // namespace
}  // namespace tokenbroker
