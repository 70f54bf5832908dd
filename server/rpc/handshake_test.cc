// Handshakes that fail, each with its reason in the metric and a line that names the peer; and peers whose certificate
// is good and is no caller's.

#include <sstream>
#include <thread>

#include "server/rpc/raw_peer.h"
#include "server/rpc/rpc_fixture.h"

namespace tokenbroker {
namespace {

using Stub = v1::TokenService::Stub;

// Takes the token "robot" alone.
class OneBearer final : public BearerVerifier {
 public:
  absl::StatusOr<BearerFacts> Verify(std::string_view token, WallTime) override {
    if (token == "robot") return BearerFacts{"https://idp", "robot", {}};
    return Error(absl::StatusCode::kUnauthenticated, "TOKEN_INVALID", "another token");
  }
};

class HandshakeTest : public RpcTest {
 protected:
  // Waits until so many handshakes have failed for the reason, and none for another one.
  void ExpectFailures(const std::string& reason, int count = 1) {
    const std::string name = "tokenbroker_tls_handshake_failures_total{reason=";
    const std::string want = name + "\"" + reason + "\"} " + std::to_string(count) + "\n";
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (MetricsPage(metrics_).find(want) == std::string::npos && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    std::istringstream lines(MetricsPage(metrics_));
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with(name)) continue;
      EXPECT_TRUE(line + "\n" == want || (line.ends_with("} 0") && !line.starts_with(name + "\"" + reason))) << line;
    }
    const std::string says = "TLS handshake failed peer=127.0.0.1 reason=" + reason;
    EXPECT_NE(log_.text().find(says), std::string::npos) << log_.text();
  }
  std::string ShakeHands(const TestCertificate& certificate, int highest = TLS1_3_VERSION) {
    return RawPeer(server_->port()).ShakeHands(certificate, TLS1_VERSION, highest);
  }
  std::string Ask(const std::shared_ptr<grpc::Channel>& channel, const std::string& bearer = "") {
    grpc::ClientContext context;
    if (!bearer.empty()) context.AddMetadata("authorization", "Bearer " + bearer);
    v1::GetCallerResponse response;
    const auto stub = v1::TokenService::NewStub(channel);
    const grpc::Status status = Call(context, *stub, &Stub::GetCaller, v1::GetCallerRequest(), response);
    if (status.ok()) return response.caller().name();
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) return "no handshake";
    return InfoOf(status).reason();
  }
  std::string Ask(const std::string& spiffe, const std::string& bearer = "") {
    const TestCertificateSpec spec = ClientSpec(spiffe);
    return Ask(ChannelOf(&spec), bearer);
  }
  void SetPolicy(bool with_robot) {
    config::v1::Policy source;
    for (const std::string name : {"ci", with_robot ? "other" : "pair"}) {
      config::v1::CallerRule& caller = *source.add_callers();
      caller.set_name(name);
      config::v1::Identity& identity = *caller.add_identities();
      identity.set_spiffe("spiffe://test/" + name);
      if (name != "pair") continue;
      identity.mutable_jwt()->set_issuer("https://idp");
      identity.mutable_jwt()->set_sub("robot");
    }
    if (with_robot) {
      config::v1::CallerRule& caller = *source.add_callers();
      caller.set_name("robot");
      config::v1::Identity& identity = *caller.add_identities();
      identity.mutable_jwt()->set_issuer("https://idp");
      identity.mutable_jwt()->set_sub("robot");
    }
    const auto policy = Policy::Compile(source, "test", {});
    ASSERT_TRUE(policy.ok()) << policy.status();
    policies_->Set(*policy);
  }

  OneBearer bearers_;
};

TEST_F(HandshakeTest, AnOldVersion) {
  EXPECT_EQ(ShakeHands(authority_.Issue(ClientSpec("spiffe://test/ci")), TLS1_1_VERSION), "");
  ExpectFailures("tls_version");
}

TEST_F(HandshakeTest, NoCertificate) {
  EXPECT_EQ(ShakeHands({}, TLS1_2_VERSION), "");
  ExpectFailures("no_certificate");
  (void)ShakeHands({});
  ExpectFailures("no_certificate", 2);
}

TEST_F(HandshakeTest, AnotherAuthority) {
  TestAuthority other("Another authority");
  EXPECT_EQ(ShakeHands(other.Issue(ClientSpec("spiffe://test/ci")), TLS1_2_VERSION), "");
  ExpectFailures("untrusted");
}

TEST_F(HandshakeTest, ACertificateThatHasEnded) {
  TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  spec.not_after = std::chrono::seconds(-1);
  EXPECT_EQ(ShakeHands(authority_.Issue(spec), TLS1_2_VERSION), "");
  ExpectFailures("expired");
}

TEST_F(HandshakeTest, ACertificateThatHasNotBegun) {
  TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  spec.not_before = std::chrono::minutes(10);
  EXPECT_EQ(ShakeHands(authority_.Issue(spec), TLS1_2_VERSION), "");
  ExpectFailures("not_yet_valid");
}

TEST_F(HandshakeTest, AnotherProtocol) {
  RawPeer scanner(server_->port());
  scanner.WritePlain("GET / HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(scanner.IsPutOut());
  ExpectFailures("not_tls");
}

TEST_F(HandshakeTest, NoHttp2) {
  (void)RawPeer(server_->port())
      .ShakeHands(authority_.Issue(ClientSpec("spiffe://test/ci")), TLS1_2_VERSION, TLS1_2_VERSION, "");
  ExpectFailures("no_http2");
}

TEST_F(HandshakeTest, APeerThatLeaves) {
  { RawPeer leaves(server_->port()); }
  ExpectFailures("closed");
  {
    RawPeer leaves(server_->port());
    leaves.WritePlain(std::string("\x16\x03\x01\x02\x00\x01", 6));
  }
  ExpectFailures("closed", 2);
}

TEST_F(HandshakeTest, APeerThatSaysNothing) {
  RpcServerOptions options = Options();
  options.handshake_timeout = milliseconds(200);
  StartServer(options);
  RawPeer silent(server_->port());
  EXPECT_TRUE(silent.IsPutOut());
  ExpectFailures("timeout");
}

TEST_F(HandshakeTest, APeerThatDoesNotTrustTheServer) {
  RawPeer peer(server_->port());
  peer.RequireTrust();
  EXPECT_EQ(peer.ShakeHands(authority_.Issue(ClientSpec("spiffe://test/ci")), TLS1_2_VERSION, TLS1_2_VERSION), "");
  ExpectFailures("rejected_by_peer");
}

TEST_F(HandshakeTest, TheirLinesAreBoundedAndCounted) {
  for (int i = 0; i < 100; ++i) RawPeer(server_->port()).WritePlain("no TLS");
  const std::string want = "tokenbroker_tls_handshake_failures_total{reason=\"not_tls\"} 100\n";
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (MetricsPage(metrics_).find(want) == std::string::npos) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << MetricsPage(metrics_);
  }
  const std::string text = log_.text();
  int lines = 0;
  for (std::size_t at = text.find("TLS handshake"); at != std::string::npos; at = text.find("TLS handshake", at + 1)) {
    ++lines;
  }
  EXPECT_EQ(lines, 20);
}

// Where no bearer token can say who calls.
TEST_F(HandshakeTest, ACertificateOfNoCaller) {
  EXPECT_EQ(ShakeHands(authority_.Issue(ClientSpec("spiffe://test/nobody")), TLS1_2_VERSION), "");
  ExpectFailures("unknown_caller");
  EXPECT_NE(log_.text().find("matches no caller of the policy"), std::string::npos) << log_.text();
  const TestCertificateSpec spec = ClientSpec("spiffe://test/nobody");
  EXPECT_EQ(Ask(ChannelOf(&spec)), "no handshake");
  TestCertificateSpec two = ClientSpec("spiffe://test/ci");
  two.uris.emplace_back("spiffe://test/other");
  EXPECT_EQ(Ask(ChannelOf(&two)), "no handshake");
  EXPECT_EQ(Ask("spiffe://test/ci"), "callers/ci");
}

TEST_F(HandshakeTest, TheCallersAreThoseOfThePolicyOfNow) {
  EXPECT_EQ(Ask("spiffe://test/pair"), "no handshake");
  config::v1::Policy source;
  config::v1::CallerRule& caller = *source.add_callers();
  caller.set_name("pair");
  caller.add_identities()->set_spiffe("spiffe://test/pair");
  policies_->Set(*Policy::Compile(source, "test", {}));
  EXPECT_EQ(Ask("spiffe://test/pair"), "callers/pair");
  EXPECT_EQ(Ask("spiffe://test/ci"), "no handshake");
}

// A certificate that a bearer token may complete is good for a handshake, and no other one is.
TEST_F(HandshakeTest, WhereATokenMustBeBesideTheCertificate) {
  SetPolicy(/*with_robot=*/false);
  StartServer(Options(), &bearers_);
  EXPECT_EQ(Ask("spiffe://test/ci"), "callers/ci");
  EXPECT_EQ(Ask("spiffe://test/pair", "robot"), "callers/pair");
  EXPECT_EQ(Ask("spiffe://test/pair"), "UNKNOWN_CALLER");
  EXPECT_EQ(Ask("spiffe://test/nobody", "robot"), "no handshake");
}

TEST_F(HandshakeTest, WhereATokenMayStandInForTheCertificate) {
  SetPolicy(/*with_robot=*/true);
  StartServer(Options(), &bearers_);
  EXPECT_EQ(Ask("spiffe://test/nobody", "robot"), "callers/robot");
  EXPECT_EQ(Ask("spiffe://test/nobody"), "UNKNOWN_CALLER");
}

TEST_F(HandshakeTest, ACallersFailedCallsAreBoundedLines) {
  const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
  v1::GetTokenRequest request;
  request.set_name("tokens/none");
  v1::Token token;
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(Call(*stub, &Stub::GetToken, request, token).ok());
  const auto lines = [this] {
    const std::string text = log_.text();
    int count = 0;
    for (std::size_t at = text.find("call failed"); at != std::string::npos; at = text.find("call failed", at + 1)) {
      ++count;
    }
    return count;
  };
  EXPECT_EQ(lines(), 20);
  const auto other = StubOf(ClientSpec("spiffe://test/other"));
  EXPECT_FALSE(Call(*other, &Stub::GetToken, request, token).ok());
  EXPECT_EQ(lines(), 21);
}

}  // namespace
}  // namespace tokenbroker
