// Ways to be taken for somebody else, one a test, each tried on a server that really runs. What must hold is refused
// and nothing more: the good caller beside it is heard.

#include <grpc/grpc_security.h>

#include "server/rpc/rpc_fixture.h"

namespace tokenbroker {
namespace {

using Stub = v1::TokenService::Stub;
using grpc::StatusCode;

// Takes the tokens that it was told of; what is in them is another room's business.
class ListedBearers final : public BearerVerifier {
 public:
  void List(const std::string& token, BearerFacts facts) { known_[token] = std::move(facts); }

  absl::StatusOr<BearerFacts> Verify(std::string_view token, WallTime) override {
    const auto known = known_.find(std::string(token));
    if (known != known_.end()) return known->second;
    return Error(absl::StatusCode::kUnauthenticated, "TOKEN_INVALID", "not on the list");
  }

 private:
  std::map<std::string, BearerFacts> known_;
};

class IdentityTest : public RpcTest {
 protected:
  IdentityTest() {
    Add("ci", [](auto& identity) { identity.set_spiffe("spiffe://test/ci"); });
    Add("host", [](auto& identity) { identity.set_dns("ci.example"); });
    Add("foreign", [](auto& identity) { identity.set_spiffe("spiffe://other/ci"); });
    Add("team-{team}", [](auto& identity) { identity.set_spiffe("spiffe://test/ns/{team}/sa/*"); });
    Add("group-{group}", [](auto& identity) {
      identity.mutable_jwt()->set_issuer("https://idp");
      (*identity.mutable_jwt()->mutable_claims())["group"] = "{group}";
    });
    for (const std::string name : {"one", "two"}) {
      Add(name, [&](auto& identity) {
        identity.set_spiffe("spiffe://test/both/" + name);
        identity.mutable_jwt()->set_issuer("https://idp");
        identity.mutable_jwt()->set_sub(name);
      });
      bearers_.List(name, {"https://idp", name, {}});
    }
    Add("robot", [](auto& identity) {
      identity.mutable_jwt()->set_issuer("https://idp");
      identity.mutable_jwt()->set_sub("robot");
    });
    bearers_.List("robot", {"https://idp", "robot", {}});
    const auto policy = Policy::Compile(source_, "test", {});
    EXPECT_TRUE(policy.ok()) << policy.status();
    policies_->Set(*policy);
    RpcServerOptions options = Options();
    options.callers.trust_domains = {"test"};
    options.client_certificate_required = options.callers.client_certificate_required = false;
    StartServer(options, &bearers_);
  }

  template <typename Fill>
  void Add(const std::string& name, Fill fill) {
    config::v1::CallerRule& caller = *source_.add_callers();
    caller.set_name(name);
    fill(*caller.add_identities());
  }

  // What a peer is told who asks for its own name: the name, the reason of a refusal, or that nobody listened to it.
  std::string Ask(const std::shared_ptr<grpc::Channel>& channel, const std::vector<std::string>& authorization = {},
                  grpc::ClientContext* context = nullptr) {
    grpc::ClientContext own;
    if (context == nullptr) context = &own;
    for (const std::string& each : authorization) context->AddMetadata("authorization", each);
    const auto stub = v1::TokenService::NewStub(channel);
    v1::GetCallerResponse response;
    const grpc::Status status = Call(*context, *stub, &Stub::GetCaller, v1::GetCallerRequest(), response);
    if (status.ok()) return response.caller().name();
    if (status.error_code() == StatusCode::UNAVAILABLE) return "no handshake";
    return InfoOf(status).reason();
  }
  std::string Ask(const TestCertificateSpec& spec, const std::vector<std::string>& authorization = {}) {
    return Ask(ChannelOf(&spec), authorization);
  }
  std::string Ask(const std::string& spiffe) { return Ask(ClientSpec(spiffe)); }
  std::string AskAsGroup(const std::string& group) {
    bearers_.List("group", {"https://idp", "any", {{"group", group}}});
    return Ask(ChannelOf(nullptr), {"Bearer group"});
  }
  TestCertificateSpec DnsSpec(std::vector<std::string> names) {
    TestCertificateSpec spec;
    spec.common_name = "client";
    spec.dns_names = std::move(names);
    return spec;
  }

  // The good callers, whose way in the bad ones imitate.
  void TearDown() override {
    EXPECT_EQ(Ask("spiffe://test/ci"), "callers/ci");
    RpcTest::TearDown();
  }

  config::v1::Policy source_;
  ListedBearers bearers_;
};

TEST_F(IdentityTest, TheGoodOnesAreHeard) {
  EXPECT_EQ(Ask(DnsSpec({"CI.example"})), "callers/host");
  EXPECT_EQ(Ask("spiffe://test/ns/blue/sa/deploy"), "callers/team-blue");
  EXPECT_EQ(Ask(ClientSpec("spiffe://test/both/one"), {"bEaReR one"}), "callers/one");
  EXPECT_EQ(Ask(ChannelOf(nullptr), {"Bearer robot"}), "callers/robot");
  EXPECT_EQ(AskAsGroup("blue"), "callers/group-blue");
}

// The names in the certificate.

TEST_F(IdentityTest, TwoSpiffeIds) {
  TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  spec.uris.emplace_back("spiffe://test/ns/blue/sa/x");
  EXPECT_EQ(Ask(spec), "IDENTITY_INVALID");
}

TEST_F(IdentityTest, ASpiffeIdBesideAnotherUri) {
  TestCertificateSpec spec = ClientSpec("https://example.org/");
  spec.uris.emplace_back("spiffe://test/ci");
  EXPECT_EQ(Ask(spec), "IDENTITY_INVALID");
}

TEST_F(IdentityTest, AnEMailAddressSpeltLikeADnsName) {
  TestCertificateSpec spec = DnsSpec({});
  spec.emails = {"ci.example", "spiffe://test/ci"};
  EXPECT_EQ(Ask(spec), "UNKNOWN_CALLER");
}

TEST_F(IdentityTest, AUriSpeltLikeADnsName) { EXPECT_EQ(Ask("ci.example"), "UNKNOWN_CALLER"); }

TEST_F(IdentityTest, ADnsNameSpeltLikeASpiffeId) { EXPECT_EQ(Ask(DnsSpec({"spiffe://test/ci"})), "UNKNOWN_CALLER"); }

TEST_F(IdentityTest, ACommonNameSpeltLikeACaller) {
  for (const char* const name : {"ci", "ci.example", "spiffe://test/ci", "callers/ci"}) {
    TestCertificateSpec spec = DnsSpec({});
    spec.common_name = name;
    EXPECT_EQ(Ask(spec), "UNKNOWN_CALLER") << name;
  }
}

TEST_F(IdentityTest, ANulByteInADnsName) {
  EXPECT_EQ(Ask(DnsSpec({std::string("ci.example\0.evil.example", 24)})), "IDENTITY_INVALID");
}

TEST_F(IdentityTest, ANulByteInASpiffeId) {
  EXPECT_EQ(Ask(std::string("spiffe://test/ci\0/evil", 22)), "IDENTITY_INVALID");
}

TEST_F(IdentityTest, AnotherTrustDomainThatThePolicyNames) {
  EXPECT_EQ(Ask("spiffe://other/ci"), "IDENTITY_INVALID");
  EXPECT_NE(log_.text().find("trust domain other"), std::string::npos);
}

TEST_F(IdentityTest, ATrustDomainBelowOurs) {
  EXPECT_EQ(Ask("spiffe://test.evil/ci"), "IDENTITY_INVALID");
  EXPECT_EQ(Ask("spiffe://evil.test/ci"), "IDENTITY_INVALID");
}

TEST_F(IdentityTest, ATrustDomainInAnotherCase) { EXPECT_EQ(Ask("spiffe://TEST/ci"), "IDENTITY_INVALID"); }

TEST_F(IdentityTest, ASchemeInAnotherCase) { EXPECT_EQ(Ask("SPIFFE://test/ci"), "IDENTITY_INVALID"); }

TEST_F(IdentityTest, ATrustDomainWithUserAndPort) {
  EXPECT_EQ(Ask("spiffe://evil@test/ci"), "IDENTITY_INVALID");
  EXPECT_EQ(Ask("spiffe://test:443/ci"), "IDENTITY_INVALID");
}

TEST_F(IdentityTest, PercentEncodingInAPath) {
  EXPECT_EQ(Ask("spiffe://test/c%69"), "IDENTITY_INVALID");
  EXPECT_EQ(Ask("spiffe://test/ns%2Fblue/sa/x"), "IDENTITY_INVALID");
}

TEST_F(IdentityTest, ASlashAtTheEndOfAPath) { EXPECT_EQ(Ask("spiffe://test/ci/"), "IDENTITY_INVALID"); }

TEST_F(IdentityTest, TwoSlashesInAPath) { EXPECT_EQ(Ask("spiffe://test//ci"), "IDENTITY_INVALID"); }

TEST_F(IdentityTest, DotsInAPath) {
  EXPECT_EQ(Ask("spiffe://test/x/../ci"), "IDENTITY_INVALID");
  EXPECT_EQ(Ask("spiffe://test/./ci"), "IDENTITY_INVALID");
}

TEST_F(IdentityTest, AQueryOrFragmentBehindAPath) {
  EXPECT_EQ(Ask("spiffe://test/ci?x"), "IDENTITY_INVALID");
  EXPECT_EQ(Ask("spiffe://test/ci#x"), "IDENTITY_INVALID");
}

TEST_F(IdentityTest, APathInAnotherCase) { EXPECT_EQ(Ask("spiffe://test/CI"), "UNKNOWN_CALLER"); }

TEST_F(IdentityTest, AWildcardForADnsName) {
  EXPECT_EQ(Ask(DnsSpec({"*.example"})), "UNKNOWN_CALLER");
  EXPECT_EQ(Ask(DnsSpec({"*"})), "UNKNOWN_CALLER");
}

TEST_F(IdentityTest, ADnsNameWithADotAtItsEnd) { EXPECT_EQ(Ask(DnsSpec({"ci.example."})), "UNKNOWN_CALLER"); }

TEST_F(IdentityTest, ANameOfTwoCallers) {
  TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  spec.dns_names = {"ci.example"};
  EXPECT_EQ(Ask(spec), "UNKNOWN_CALLER");
}

// The certificate itself.

TEST_F(IdentityTest, ACertificateThatSignedItself) {
  EXPECT_EQ(Ask(ChannelWith(TestAuthority::SelfSigned(ClientSpec("spiffe://test/ci")))), "no handshake");
}

TEST_F(IdentityTest, AnotherAuthorityOfTheSameName) {
  TestAuthority other;
  const TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  EXPECT_EQ(Ask(ChannelOf(&spec, &other)), "no handshake");
}

TEST_F(IdentityTest, AnAuthorityThatHasEnded) {
  TestAuthority ended("Ended authority", std::chrono::seconds(-60));
  WriteFileOrDie(path("both.pem"), authority_.certificate_pem() + ended.certificate_pem());
  RpcServerOptions options = Options();
  options.client_ca_file = path("both.pem");
  StartServer(options, &bearers_);
  const TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  EXPECT_EQ(Ask(ChannelOf(&spec, &ended)), "no handshake");
}

TEST_F(IdentityTest, ALeafAsAnAuthority) {
  const TestCertificate leaf = authority_.Issue(ClientSpec("spiffe://test/ns/blue/sa/x"));
  TestCertificate forged = TestAuthority::SignedBy(leaf, ClientSpec("spiffe://test/ci"));
  forged.certificate_pem += leaf.certificate_pem;
  EXPECT_EQ(Ask(ChannelWith(forged)), "no handshake");
}

TEST_F(IdentityTest, AServersCertificate) {
  TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  spec.extended_key_usage = "serverAuth";
  EXPECT_EQ(Ask(spec), "no handshake");
}

TEST_F(IdentityTest, ACertificateThatHasEnded) {
  TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  spec.not_after = std::chrono::seconds(-1);
  EXPECT_EQ(Ask(spec), "no handshake");
}

TEST_F(IdentityTest, ACertificateThatHasNotBegun) {
  TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  spec.not_before = std::chrono::minutes(10);
  EXPECT_EQ(Ask(spec), "no handshake");
}

TEST_F(IdentityTest, ACertificateThatEndsDuringAConnection) {
  TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  spec.not_after = std::chrono::seconds(60);
  const auto channel = ChannelOf(&spec);
  EXPECT_EQ(Ask(channel), "callers/ci");
  loop_.StepWall(seconds(50));
  EXPECT_EQ(Ask(channel), "callers/ci");
  loop_.StepWall(seconds(11));
  EXPECT_EQ(Ask(channel), "CERTIFICATE_EXPIRED");
}

// OpenSSL does not look at a certificate again when a session is resumed.
TEST_F(IdentityTest, ASessionResumedAfterItsCertificateHasEnded) {
  struct Cache {
    grpc_ssl_session_cache* const cache = grpc_ssl_session_cache_create_lru(4);
    ~Cache() { grpc_ssl_session_cache_destroy(cache); }
  } sessions;
  const grpc_arg argument = grpc_ssl_session_cache_create_channel_arg(sessions.cache);
  grpc::ChannelArguments with_sessions;
  with_sessions.SetPointerWithVtable(argument.key, argument.value.pointer.p, argument.value.pointer.vtable);
  TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  spec.not_after = std::chrono::seconds(4);
  const TestCertificate certificate = authority_.Issue(spec);
  EXPECT_EQ(Ask(ChannelWith(certificate, with_sessions)), "callers/ci");

  // By the host's clock, which is OpenSSL's.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (Ask(ChannelWith(certificate)) == "callers/ci") ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  EXPECT_EQ(Ask(ChannelWith(certificate)), "no handshake");
  loop_.StepWall(seconds(60));
  grpc::ClientContext context;
  EXPECT_EQ(Ask(ChannelWith(certificate, with_sessions), {}, &context), "CERTIFICATE_EXPIRED");
  const auto reused = context.auth_context()->FindPropertyValues(GRPC_SSL_SESSION_REUSED_PROPERTY);
  ASSERT_EQ(reused.size(), 1u);
  EXPECT_EQ(reused[0], "true");
}

// A certificate is not made good by a token beside it.
TEST_F(IdentityTest, ABadCertificateBesideAGoodToken) {
  TestAuthority other;
  const TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  EXPECT_EQ(Ask(ChannelOf(&spec, &other), {"Bearer robot"}), "no handshake");
  EXPECT_EQ(Ask(ClientSpec("spiffe://TEST/ci"), {"Bearer robot"}), "IDENTITY_INVALID");
}

TEST_F(IdentityTest, NeitherCertificateNorToken) { EXPECT_EQ(Ask(ChannelOf(nullptr)), "IDENTITY_INVALID"); }

TEST_F(IdentityTest, NoCertificateWhereOneIsRequired) {
  StartServer(Options(), &bearers_);
  EXPECT_EQ(Ask(ChannelOf(nullptr), {"Bearer robot"}), "no handshake");
}

// What is captured.

TEST_F(IdentityTest, ACaptureOfTwoSegments) {
  EXPECT_EQ(Ask("spiffe://test/ns/a/b/sa/x"), "UNKNOWN_CALLER");
  EXPECT_EQ(AskAsGroup("a/b"), "UNKNOWN_CALLER");
}

TEST_F(IdentityTest, ACaptureThatClimbs) {
  EXPECT_EQ(Ask("spiffe://test/ns/../sa/x"), "IDENTITY_INVALID");
  EXPECT_EQ(Ask("spiffe://test/ns/.../sa/x"), "UNKNOWN_CALLER");
  for (const char* const group : {"..", ".", ".hidden", "a.", "-a"})
    EXPECT_EQ(AskAsGroup(group), "UNKNOWN_CALLER") << group;
}

TEST_F(IdentityTest, ACaptureThatIsAPattern) {
  EXPECT_EQ(Ask("spiffe://test/ns/*/sa/x"), "IDENTITY_INVALID");
  for (const char* const group : {"*", "**", "a*"}) EXPECT_EQ(AskAsGroup(group), "UNKNOWN_CALLER") << group;
}

TEST_F(IdentityTest, ACaptureThatIsACapture) {
  EXPECT_EQ(Ask("spiffe://test/ns/{team}/sa/x"), "IDENTITY_INVALID");
  for (const char* const group : {"{team}", "{group}", "{"}) EXPECT_EQ(AskAsGroup(group), "UNKNOWN_CALLER") << group;
}

// Else two teams would be one owner at a store that ignores case.
TEST_F(IdentityTest, ACaptureInUpperCase) {
  EXPECT_EQ(Ask("spiffe://test/ns/Blue/sa/x"), "UNKNOWN_CALLER");
  EXPECT_EQ(AskAsGroup("Blue"), "UNKNOWN_CALLER");
}

TEST_F(IdentityTest, ACaptureWithOtherBytes) {
  for (const std::string& group :
       {std::string("a b"), std::string("a\nb"), std::string("a\0b", 3), std::string("bl\xc3\xbc"), std::string("a:b"),
        std::string("a%2Fb"), std::string("a@b"), std::string("a.git"), std::string(60, 'a'), std::string()}) {
    EXPECT_EQ(AskAsGroup(group), "UNKNOWN_CALLER") << group;
  }
}

// Certificate and token.

TEST_F(IdentityTest, ACertificateOfOneCallerAndTheTokenOfAnother) {
  EXPECT_EQ(Ask(ClientSpec("spiffe://test/both/one"), {"Bearer two"}), "UNKNOWN_CALLER");
  EXPECT_EQ(Ask(ClientSpec("spiffe://test/ci"), {"Bearer robot"}), "UNKNOWN_CALLER");
}

TEST_F(IdentityTest, HalfOfWhatIsDemanded) {
  EXPECT_EQ(Ask("spiffe://test/both/one"), "UNKNOWN_CALLER");
  EXPECT_EQ(Ask(ChannelOf(nullptr), {"Bearer one"}), "UNKNOWN_CALLER");
}

TEST_F(IdentityTest, TwoAuthorizationHeaders) {
  for (const std::vector<std::string>& headers : std::vector<std::vector<std::string>>{
           {"Bearer robot", "Bearer robot"}, {"Bearer robot", "Bearer one"}, {"Basic cm9ib3Q=", "Bearer robot"}}) {
    EXPECT_EQ(Ask(ChannelOf(nullptr), headers), "TOKEN_INVALID");
  }
}

TEST_F(IdentityTest, AHeaderThatIsNoBearerToken) {
  for (const char* const header : {"Bearer", "Bearer ", "robot", "Basic robot", "Bearer robot, Bearer one",
                                   "Bearer  robot", "Bearer robot ", "Bearerrobot", "Bearer \"robot\""}) {
    EXPECT_NE(Ask(ChannelOf(nullptr), {header}).substr(0, 8), "callers/") << header;
  }
}

TEST_F(IdentityTest, AnUnknownTokenBesideAGoodCertificate) {
  EXPECT_EQ(Ask(ClientSpec("spiffe://test/ci"), {"Bearer forged"}), "TOKEN_INVALID");
}

TEST_F(IdentityTest, ATokenWhereNoIssuerIsKnown) {
  StartServer(Options());
  EXPECT_EQ(Ask(ClientSpec("spiffe://test/ci"), {"Bearer robot"}), "TOKEN_INVALID");
  EXPECT_NE(log_.text().find("names no issuer"), std::string::npos) << log_.text();
}

// Whoever is refused learns that alone, and the log does not keep what was shown.
TEST_F(IdentityTest, TheAnswerTellsNothing) {
  for (const std::vector<std::string>& headers :
       std::vector<std::vector<std::string>>{{"Bearer forged"}, {"Bearer robot", "Bearer robot"}, {"Basic forged"}}) {
    grpc::ClientContext context;
    for (const std::string& each : headers) context.AddMetadata("authorization", each);
    const auto stub = v1::TokenService::NewStub(ChannelOf(nullptr));
    v1::GetCallerResponse response;
    const grpc::Status status = Call(context, *stub, &Stub::GetCaller, v1::GetCallerRequest(), response);
    EXPECT_EQ(status.error_code(), StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(status.error_message(), "what was shown does not prove who calls");
  }
  EXPECT_EQ(log_.text().find("forged"), std::string::npos);
}

}  // namespace
}  // namespace tokenbroker
