// A broker that trusts issuers of JWTs: what it does with its configuration.

#include <gtest/gtest.h>

#include "tests/integration/broker_process.h"
#include "tests/support/subprocess.h"
#include "tests/support/test_issuer.h"
#include "tests/support/test_web_server.h"

namespace tokenbroker {
namespace {

TEST(JwtIssuerTest, KeysAreFetchedFromTheStart) {
  House house;
  const TestIssuer of_file("any-issuer", TestKey::Ec("one"));
  WriteFileOrDie(house.path("keys.json"), of_file.KeySet());
  const TestCertificate certificate = house.authority().Issue(ServerSpec());
  const TestKey key = TestKey::Rsa("two");
  const TestWebServer server(&certificate, [&](const TestWebServer& itself, const TestWebServer::Request& request) {
    const TestIssuer issuer(itself.url(), key);
    if (request.path == "/keys") return TestWebServer::Answer{200, issuer.KeySet(), ""};
    return TestWebServer::Answer{200, issuer.Discovery(itself.url() + "/keys"), ""};
  });
  house.config() +=
      "identity:\n  issuers:\n    - issuer: " + server.url() +
      "\n      audiences: [broker]\n      ca_file: " + house.path("ca.pem") +
      "\n    - issuer: any-issuer\n      audiences: [broker]\n      jwks_file: " + house.path("keys.json") +
      "\n    - issuer: https://127.0.0.1:1\n      audiences: [broker]\n";
  ASSERT_TRUE(house.StartBroker()) << house.output();
  for (const std::string& issuer : {server.url(), std::string("any-issuer")}) {
    EXPECT_TRUE(Eventually([&] {
      return house.Fetch("/metrics").find("tokenbroker_jwt_keys{issuer=\"" + issuer + "\"} 1\n") != std::string::npos;
    })) << house.output();
  }
  // One that nobody answers for holds up nothing.
  EXPECT_TRUE(Eventually([&] { return house.output().find("JWT keys not taken up") != std::string::npos; }));
  EXPECT_TRUE(house.Client()->GetCaller(DeadlineIn(std::chrono::seconds(20))).ok());
  EXPECT_EQ(house.StopBroker(), 0) << house.output();
}

WallTime WallNow() { return WallTime(duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch())); }

TEST(JwtIssuerTest, AServiceWithATokenFileAloneIsServed) {
  House house;
  const TestIssuer issuer("cluster", TestKey::Ec("one"));
  WriteFileOrDie(house.path("keys.json"), issuer.KeySet());
  house.config() += "identity:\n  issuers:\n    - issuer: cluster\n      audiences: [broker]\n      jwks_file: " +
                    house.path("keys.json") + "\n";
  house.EditConfig("  client_ca_file:", "  client_certificates: optional\n  client_ca_file:");
  std::string& policy = house.policy();
  policy.replace(policy.find("  - name: demo\n"), 0,
                 "  - name: builder\n    identities:\n"
                 "      - jwt: {issuer: cluster, sub: 'system:serviceaccount:ci:builder'}\n");
  policy.replace(policy.find("[demo, other]"), 1, "[builder, ");
  ASSERT_TRUE(house.StartBroker()) << house.output();

  TokenClientOptions options;
  options.address = house.grpc_address();
  options.ca_file = house.path("ca.pem");
  options.bearer_file = house.path("token");
  const auto token = [&](const std::string& subject, WallTime from) {
    return issuer.Token(issuer.Claims("broker", "system:serviceaccount:ci:" + subject, from));
  };
  WriteFileOrDie(options.bearer_file, token("stranger", WallNow()));
  const absl::StatusOr<std::unique_ptr<TokenClient>> client = MakeTokenClient(options);
  ASSERT_TRUE(client.ok()) << client.status();
  const Deadline deadline = DeadlineIn(std::chrono::seconds(60));
  EXPECT_EQ((*client)->GetCaller(deadline).status().code(), absl::StatusCode::kPermissionDenied);
  // An old one is refused; the kubelet has put a new one there meanwhile.
  WriteFileOrDie(options.bearer_file, token("builder", WallNow() - hours(3)));
  const absl::StatusOr<std::unique_ptr<TokenClient>> late = MakeTokenClient(options);
  ASSERT_TRUE(late.ok()) << late.status();
  WriteFileOrDie(options.bearer_file, token("builder", WallNow()));
  const absl::StatusOr<v1::Caller> caller = (*late)->GetCaller(deadline);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->name(), "callers/builder");
  const auto made = (*late)->Create(UserTokenSpec(house.demo_user()), {}, deadline);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ((*late)->Revoke(made->token.name(), deadline)->state(), v1::TOKEN_STATE_REVOKED);

  const Finished run =
      RunProcess({std::string(std::getenv("TOKENCTL")), "whoami"}, {{"TOKENBROKER_ADDRESS", house.grpc_address()},
                                                                    {"TOKENBROKER_CA", options.ca_file},
                                                                    {"TOKENBROKER_BEARER_FILE", options.bearer_file}});
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_NE(run.out.find("callers/builder"), std::string::npos) << run.out;
  EXPECT_EQ(house.StopBroker(), 0) << house.output();
}

TEST(JwtIssuerTest, CheckConfigReadsKeyFiles) {
  House house;
  house.config() += "identity:\n  issuers:\n    - issuer: any-issuer\n      audiences: [broker]\n      jwks_file: " +
                    house.path("keys.json") + "\n";
  house.arguments().push_back("--check-config");
  EXPECT_EQ(house.RunBrokerToItsEnd(), 1);
  EXPECT_NE(house.output().find("keys.json: cannot be read"), std::string::npos) << house.output();
  WriteFileOrDie(house.path("keys.json"), R"({"keys":[]})");
  EXPECT_EQ(house.RunBrokerToItsEnd(), 1);
  EXPECT_NE(house.output().find("keys.json: the key set is empty"), std::string::npos) << house.output();
  WriteFileOrDie(house.path("keys.json"), TestIssuer("any-issuer", TestKey::Ec("one")).KeySet());
  EXPECT_EQ(house.RunBrokerToItsEnd(), 0) << house.output();
}

}  // namespace
}  // namespace tokenbroker
