// Several trust domains, each with its own authorities: none speaks for another. And certificates that were revoked. On
// a server that really runs.

#include <grpc/grpc_security.h>
#include <grpc/grpc_security_constants.h>

#include <chrono>

#include "server/rpc/rpc_fixture.h"

namespace tokenbroker {
namespace {

using grpc::StatusCode;
using Stub = v1::TokenService::Stub;

class TrustDomainTest : public RpcTest {
 protected:
  TrustDomainTest() {
    Add("one", [](auto& identity) { identity.set_spiffe("spiffe://one.test/ci"); });
    Add("two", [](auto& identity) { identity.set_spiffe("spiffe://two.test/ci"); });
    Add("three", [](auto& identity) { identity.set_spiffe("spiffe://three.test/ci"); });
    Add("host", [](auto& identity) { identity.set_dns("ci.example"); });
    const auto policy = Policy::Compile(source_, "test", {});
    EXPECT_TRUE(policy.ok()) << policy.status();
    policies_->Set(*policy);
    WriteFileOrDie(path("one.pem"), one_.certificate_pem());
    WriteFileOrDie(path("two.pem"), two_.certificate_pem());
    WriteFileOrDie(path("crl.pem"), one_.RevocationList({}) + authority_.RevocationList({}));
    options_ = Options();
    options_.trust_domains = {{"one.test", path("one.pem")}, {"two.test", path("two.pem")}};
    options_.callers.trust_domains = {"one.test", "two.test"};
    options_.client_crl_file = path("crl.pem");
    StartServer(options_);
  }

  template <typename Fill>
  void Add(const std::string& name, Fill fill) {
    config::v1::CallerRule& caller = *source_.add_callers();
    caller.set_name(name);
    fill(*caller.add_identities());
  }

  static TestCertificateSpec Dns(const std::string& name) {
    TestCertificateSpec spec;
    spec.common_name = "client";
    spec.dns_names = {name};
    return spec;
  }

  // What a peer gets that asks for its own name: the name, the reason of the error, or that there was no handshake.
  std::string Ask(const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* context = nullptr) {
    grpc::ClientContext own;
    if (context == nullptr) context = &own;
    const auto stub = v1::TokenService::NewStub(channel);
    v1::GetCallerResponse response;
    const grpc::Status status = Call(*context, *stub, &Stub::GetCaller, v1::GetCallerRequest(), response);
    if (status.ok()) return response.caller().name();
    return status.error_code() == StatusCode::UNAVAILABLE ? "no handshake" : InfoOf(status).reason();
  }
  std::string Ask(TestAuthority& signer, const TestCertificateSpec& spec) {
    return Ask(ChannelWith(signer.Issue(spec)));
  }

  // Waits until files that were replaced are taken.
  void UntilTaken() {
    for (int i = 0; i < 10; ++i) loop_.Advance(seconds(1));
  }

  config::v1::Policy source_;
  TestAuthority one_{"Authority of one"}, two_{"Authority of two"}, nobody_{"Authority of nobody"};
  RpcServerOptions options_;
};

TEST_F(TrustDomainTest, AnAuthoritySpeaksForItsOwnDomainOnly) {
  EXPECT_EQ(Ask(one_, ClientSpec("spiffe://one.test/ci")), "callers/one");
  EXPECT_EQ(Ask(two_, ClientSpec("spiffe://two.test/ci")), "callers/two");
  EXPECT_EQ(Ask(authority_, Dns("ci.example")), "callers/host");
  // Each of another's.
  EXPECT_EQ(Ask(one_, ClientSpec("spiffe://two.test/ci")), "IDENTITY_INVALID");
  EXPECT_EQ(Ask(two_, ClientSpec("spiffe://one.test/ci")), "IDENTITY_INVALID");
  EXPECT_EQ(Ask(authority_, ClientSpec("spiffe://one.test/ci")), "IDENTITY_INVALID");
  EXPECT_EQ(Ask(one_, Dns("ci.example")), "UNKNOWN_CALLER");
  EXPECT_EQ(Ask(one_, ClientSpec("spiffe://three.test/ci")), "no handshake");
  EXPECT_EQ(Ask(authority_, ClientSpec("spiffe://three.test/ci")), "no handshake");
  EXPECT_EQ(Ask(nobody_, ClientSpec("spiffe://one.test/ci")), "no handshake");
  EXPECT_NE(log_.text().find("does not end at an authority of the trust domain two.test"), std::string::npos);
}

// Of the same name, too: the signature counts. (A handshake finds the first of two authorities of one name, unless
// their certificates carry key identifiers, which these do not: then the second speaks for nobody.)
TEST_F(TrustDomainTest, AnAuthorityOfTheSameNameIsAnother) {
  TestAuthority namesake("Authority of one");
  WriteFileOrDie(path("two.pem"), two_.certificate_pem() + namesake.certificate_pem());
  UntilTaken();
  EXPECT_NE(Ask(namesake, ClientSpec("spiffe://one.test/ci")), "callers/one");
  EXPECT_EQ(Ask(one_, ClientSpec("spiffe://one.test/ci")), "callers/one");
}

TEST_F(TrustDomainTest, AChainLeadsToTheAuthorityAlsoWhereASessionIsResumed) {
  struct Cache {
    grpc_ssl_session_cache* const cache = grpc_ssl_session_cache_create_lru(4);
    ~Cache() { grpc_ssl_session_cache_destroy(cache); }
  } sessions;
  const grpc_arg argument = grpc_ssl_session_cache_create_channel_arg(sessions.cache);
  grpc::ChannelArguments with_sessions;
  with_sessions.SetPointerWithVtable(argument.key, argument.value.pointer.p, argument.value.pointer.vtable);
  TestAuthority between = one_.Intermediate("Between");
  TestCertificate certificate = between.Issue(ClientSpec("spiffe://one.test/ci"));
  TestCertificate foreign = between.Issue(ClientSpec("spiffe://two.test/ci"));
  EXPECT_EQ(Ask(ChannelWith(certificate)), "no handshake");  // Without what is between.
  certificate.certificate_pem += between.certificate_pem();
  foreign.certificate_pem += between.certificate_pem();
  EXPECT_EQ(Ask(ChannelWith(foreign)), "IDENTITY_INVALID");
  EXPECT_EQ(Ask(ChannelWith(certificate, with_sessions)), "callers/one");
  grpc::ClientContext context;
  EXPECT_EQ(Ask(ChannelWith(certificate, with_sessions), &context), "callers/one");
  const auto reused = context.auth_context()->FindPropertyValues(GRPC_SSL_SESSION_REUSED_PROPERTY);
  ASSERT_EQ(reused.size(), 1u);
  EXPECT_EQ(reused[0], "true");
}

TEST_F(TrustDomainTest, AuthoritiesAreReplacedWhileItRuns) {
  const auto channel = ChannelWith(one_.Issue(ClientSpec("spiffe://one.test/ci")));
  EXPECT_EQ(Ask(channel), "callers/one");
  WriteFileOrDie(path("one.pem"), "-----BEGIN CERTIFI");
  UntilTaken();
  EXPECT_EQ(Ask(channel), "callers/one");  // The last good one.
  WriteFileOrDie(path("one.pem"), nobody_.certificate_pem());
  UntilTaken();
  EXPECT_EQ(Ask(channel), "IDENTITY_INVALID");  // The same connection: it is held against the authorities of now.
  EXPECT_EQ(Ask(nobody_, ClientSpec("spiffe://one.test/ci")), "callers/one");
}

TEST_F(TrustDomainTest, ARevokedCertificateIsRejectedFromItsNextCallOn) {
  const TestCertificate certificate = one_.Issue(ClientSpec("spiffe://one.test/ci"));
  const TestCertificate host = authority_.Issue(Dns("ci.example"));
  const auto channel = ChannelWith(certificate);
  const auto host_channel = ChannelWith(host);
  EXPECT_EQ(Ask(channel), "callers/one");
  EXPECT_EQ(Ask(host_channel), "callers/host");
  // A list counts for its own authority's certificates: this one names the same serial numbers, and is another's.
  WriteFileOrDie(path("crl.pem"), two_.RevocationList({certificate.certificate_pem}) +
                                      authority_.RevocationList({host.certificate_pem}));
  UntilTaken();
  EXPECT_EQ(Ask(channel), "callers/one");
  EXPECT_EQ(Ask(host_channel), "CERTIFICATE_REVOKED");
  // One that says to be the authority's, and is not signed by it.
  TestAuthority namesake("Authority of one");
  WriteFileOrDie(path("crl.pem"), namesake.RevocationList({certificate.certificate_pem}));
  UntilTaken();
  EXPECT_EQ(Ask(channel), "callers/one");
  WriteFileOrDie(path("crl.pem"), one_.RevocationList({certificate.certificate_pem}));
  UntilTaken();
  EXPECT_EQ(Ask(channel), "CERTIFICATE_REVOKED");
  EXPECT_EQ(Ask(one_, ClientSpec("spiffe://one.test/ci")), "callers/one");  // Another one.
}

TEST_F(TrustDomainTest, AnAuthorityBelowCanBeRevoked) {
  TestAuthority between = one_.Intermediate("Between");
  TestCertificate certificate = between.Issue(ClientSpec("spiffe://one.test/ci"));
  certificate.certificate_pem += between.certificate_pem();
  EXPECT_EQ(Ask(ChannelWith(certificate)), "callers/one");
  WriteFileOrDie(path("crl.pem"), one_.RevocationList({between.certificate_pem()}));
  UntilTaken();
  EXPECT_EQ(Ask(ChannelWith(certificate)), "CERTIFICATE_REVOKED");
}

TEST_F(TrustDomainTest, ListsAloneNeedNoTrustDomains) {
  options_.trust_domains.clear();
  options_.callers.trust_domains.clear();
  StartServer(options_);
  const TestCertificate certificate = authority_.Issue(ClientSpec("spiffe://three.test/ci"));
  EXPECT_EQ(Ask(ChannelWith(certificate)), "callers/three");
  WriteFileOrDie(path("crl.pem"), authority_.RevocationList({certificate.certificate_pem}));
  UntilTaken();
  EXPECT_EQ(Ask(ChannelWith(certificate)), "CERTIFICATE_REVOKED");
}

}  // namespace
}  // namespace tokenbroker
