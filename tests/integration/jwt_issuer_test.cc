// A broker that trusts issuers of JWTs: what it does with its configuration.

#include <gtest/gtest.h>

#include "tests/integration/broker_process.h"
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
