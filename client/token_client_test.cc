#include "client/token_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <thread>
#include <type_traits>

#include "client/fake_broker.h"

namespace tokenbroker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using testing::SizeIs;

static_assert(!std::is_copy_constructible_v<CreatedToken>);

v1::Token Spec() {
  v1::Token spec;
  spec.set_display_name("nightly build");
  spec.mutable_target()->set_user("42");
  spec.add_scopes("read_user");
  spec.mutable_ttl()->set_seconds(3600);
  return spec;
}

Deadline Soon() { return DeadlineIn(seconds(30)); }

class TokenClientTest : public testing::Test {
 protected:
  TokenClientTest() : broker_(authority_), folder_(authority_, "spiffe://test/demo") { client_ = Make(Options()); }

  TokenClientOptions Options() const {
    TokenClientOptions options;
    options.address = broker_.address();
    options.ca_file = folder_.Path("ca.pem");
    options.certificate_file = folder_.Path("cert.pem");
    options.key_file = folder_.Path("key.pem");
    options.retry = {3, milliseconds(1), milliseconds(2)};
    return options;
  }

  static std::unique_ptr<TokenClient> Make(const TokenClientOptions& options) {
    absl::StatusOr<std::unique_ptr<TokenClient>> client = MakeTokenClient(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  void PlanNext(grpc::StatusCode code, const std::string& reason, std::optional<Duration> retry_after = std::nullopt) {
    broker_.PlanNext({code, reason, "planned", {}, retry_after, {}});
  }

  TestAuthority authority_;
  FakeBroker broker_;
  ClientFolder folder_;
  std::unique_ptr<TokenClient> client_;
};

TEST_F(TokenClientTest, TheLifeOfAToken) {
  absl::StatusOr<CreatedToken> made = client_->Create(Spec(), {}, Soon());
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->secret.Reveal(), "glpat-fake_secret");
  EXPECT_EQ(made->token.state(), v1::TOKEN_STATE_ACTIVE);
  const std::string name = made->token.name();

  const absl::StatusOr<v1::Token> got = client_->Get(name, Soon());
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->display_name(), "nightly build");

  const absl::StatusOr<v1::Token> revoked = client_->Revoke(name, Soon());
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(revoked->state(), v1::TOKEN_STATE_REVOKED);

  EXPECT_THAT(*client_->ListAll(false, Soon()), IsEmpty());
  EXPECT_THAT(*client_->ListAll(true, Soon()), SizeIs(1));
}

TEST_F(TokenClientTest, EveryCreateHasARequestIdOfItsOwn) {
  ASSERT_TRUE(client_->Create(Spec(), {}, Soon()).ok());
  const absl::StatusOr<CreatedToken> second = client_->Create(Spec(), {}, Soon());
  ASSERT_TRUE(second.ok());
  const std::string given = "8f14e45f-ceea-467f-a0e6-2f4d2c5b1a3e";
  ASSERT_TRUE(client_->Create(Spec(), {given, true}, Soon()).ok());
  const auto sent = broker_.creates();
  ASSERT_THAT(sent, SizeIs(3));
  EXPECT_THAT(sent[0].request_id(), testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-.*"));
  EXPECT_NE(sent[0].request_id(), sent[1].request_id());
  EXPECT_EQ(second->request_id, sent[1].request_id());
  EXPECT_EQ(sent[2].request_id(), given);
  EXPECT_TRUE(sent[2].validate_only());
}

TEST_F(TokenClientTest, RepeatsACreateWithTheSameRequestId) {
  PlanNext(grpc::UNAVAILABLE, "UPSTREAM_UNAVAILABLE");
  PlanNext(grpc::ABORTED, "CREATE_IN_PROGRESS", milliseconds(20));
  const absl::StatusOr<CreatedToken> made = client_->Create(Spec(), {}, Soon());
  ASSERT_TRUE(made.ok()) << made.status();
  const auto sent = broker_.creates();
  ASSERT_THAT(sent, SizeIs(3));
  EXPECT_EQ(sent[1].request_id(), sent[0].request_id());
  EXPECT_EQ(sent[2].request_id(), sent[0].request_id());
  const auto times = broker_.times();
  EXPECT_GE(times[2] - times[1], milliseconds(20));
}

TEST_F(TokenClientTest, RepeatsAreBounded) {
  for (int i = 0; i < 3; ++i) PlanNext(grpc::UNAVAILABLE, "ISSUER_DEAD");
  const absl::Status status = client_->Create(Spec(), {}, Soon()).status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(CallErrorOf(status).reason, "ISSUER_DEAD");
  EXPECT_EQ(CallErrorOf(status).request_id, broker_.creates().at(0).request_id());
  EXPECT_THAT(broker_.creates(), SizeIs(3));
}

TEST_F(TokenClientTest, DoesNotWaitBeyondTheDeadline) {
  PlanNext(grpc::ABORTED, "UPSTREAM_OUTCOME_UNKNOWN", seconds(90));
  const absl::Status status = client_->Create(Spec(), {}, Soon()).status();
  EXPECT_TRUE(absl::IsAborted(status));
  EXPECT_EQ(CallErrorOf(status).retry_after, seconds(90));
  EXPECT_THAT(broker_.creates(), SizeIs(1));
}

TEST_F(TokenClientTest, ErrorsKeepTheirData) {
  broker_.PlanNext({grpc::INVALID_ARGUMENT,
                    "FIELD_INVALID",
                    "2 fields are wrong",
                    {{"token.scopes[1]", "unknown scope 'read_apy'"}, {"token.ttl", "too short"}},
                    std::nullopt,
                    {{"limit", "28800s"}}});
  const absl::Status status = client_->Create(Spec(), {}, Soon()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "2 fields are wrong");
  const CallError error = CallErrorOf(status);
  EXPECT_EQ(error.reason, "FIELD_INVALID");
  EXPECT_THAT(error.fields, ElementsAre(FieldViolation{"token.scopes[1]", "unknown scope 'read_apy'"},
                                        FieldViolation{"token.ttl", "too short"}));
  EXPECT_THAT(error.metadata, ElementsAre(Pair("limit", "28800s")));
  EXPECT_THAT(error.request_id, Not(IsEmpty()));
}

TEST_F(TokenClientTest, ListAllReadsEveryPage) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client_->Create(Spec(), {}, Soon()).ok());
  const absl::StatusOr<TokenPage> page = client_->List({}, Soon());
  ASSERT_TRUE(page.ok());
  EXPECT_THAT(page->tokens, SizeIs(2));
  EXPECT_EQ(page->next_page_token, "2");
  const auto all = client_->ListAll(false, Soon());
  ASSERT_TRUE(all.ok());
  std::set<std::string> names;
  for (const v1::Token& token : *all) names.insert(token.name());
  EXPECT_THAT(names, SizeIs(5));
}

TEST_F(TokenClientTest, ListSendsFilterAndOrder) {
  ListOptions options;
  options.page_size = 7;
  options.show_closed = true;
  options.filter = "state=REVOKED";
  options.order_by = "expire_time";
  ASSERT_TRUE(client_->List(options, Soon()).ok());
  ASSERT_TRUE(client_->ListAll(options, Soon()).ok());
  const std::vector<v1::ListTokensRequest> sent = broker_.lists();
  ASSERT_THAT(sent, SizeIs(2));
  for (const v1::ListTokensRequest& request : sent) {
    EXPECT_EQ(request.filter(), "state=REVOKED");
    EXPECT_EQ(request.order_by(), "expire_time");
    EXPECT_TRUE(request.show_closed());
  }
  EXPECT_EQ(sent[0].page_size(), 7);
  EXPECT_EQ(sent[1].page_size(), 1000);
}

TEST_F(TokenClientTest, ListAllBeginsAgainOnceWhenThePagesAreGone) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client_->Create(Spec(), {}, Soon()).ok());
  const Refusal fine = {grpc::OK, "", "", {}, {}, {}};
  const Refusal gone = {grpc::INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", "no such page", {}, {}, {}};
  for (const Refusal& end : {fine, gone}) broker_.PlanNext(end);
  const absl::StatusOr<std::vector<v1::Token>> all = client_->ListAll(false, Soon());
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_THAT(*all, SizeIs(3));
  for (const Refusal& end : {fine, gone, fine, gone}) broker_.PlanNext(end);
  EXPECT_EQ(CallErrorOf(client_->ListAll(false, Soon()).status()).reason, "PAGE_TOKEN_INVALID");
}

TEST_F(TokenClientTest, TellsWhoWeAre) {
  const absl::StatusOr<v1::Caller> caller = client_->GetCaller(Soon());
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->identity(), "spiffe://test/demo");
}

TEST_F(TokenClientTest, TakesUpAnExchangedCertificate) {
  TokenClientOptions options = Options();
  options.reread_interval = Duration(0);
  const auto client = Make(options);
  ASSERT_TRUE(client->GetCaller(Soon()).ok());
  folder_.Replace(authority_.Issue(ClientSpec("spiffe://test/renewed")));
  ASSERT_TRUE(client->GetCaller(Soon()).ok());
  EXPECT_THAT(broker_.peers(), ElementsAre("spiffe://test/demo", "spiffe://test/renewed"));
}

TEST_F(TokenClientTest, ServesOnWithTheLastGoodFiles) {
  TokenClientOptions options = Options();
  options.reread_interval = Duration(0);
  const auto client = Make(options);
  std::filesystem::remove(folder_.Path("key.pem"));
  EXPECT_TRUE(client->GetCaller(Soon()).ok());
  for (int i = 0; i < 3; ++i) PlanNext(grpc::UNAVAILABLE, "SHUTTING_DOWN");
  const absl::Status status = client->GetCaller(Soon()).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot read the key file " + folder_.Path("key.pem")));
  EXPECT_EQ(CallErrorOf(status).reason, "SHUTTING_DOWN");
}

// The new bundle begins with another authority, and that of the broker is not written yet: a client that took what is
// there would trust the broker no more.
TEST_F(TokenClientTest, ServesOnWhileABundleIsBeingWritten) {
  TokenClientOptions options = Options();
  options.reread_interval = Duration(0);
  const auto client = Make(options);
  const std::string ours = authority_.certificate_pem();
  const std::string bundle = TestAuthority("Another authority").certificate_pem() + ours;
  const std::size_t first = bundle.size() - ours.size();
  for (const std::size_t written : {first + 10, first + 40, bundle.size() - 3, bundle.size()}) {
    WriteFileOrDie(folder_.Path("ca.pem"), std::string_view(bundle).substr(0, written));
    const absl::Status status = client->GetCaller(Soon()).status();
    EXPECT_TRUE(status.ok()) << written << " of " << bundle.size() << ": " << status;
  }
  WriteFileOrDie(folder_.Path("ca.pem"), std::string_view(bundle).substr(0, first));
  EXPECT_TRUE(absl::IsUnavailable(client->GetCaller(Soon()).status()));  // Whole, and another set.
}

TEST_F(TokenClientTest, ReadsAgainOnceWhenUnauthenticated) {
  ASSERT_TRUE(client_->GetCaller(Soon()).ok());
  folder_.Replace(authority_.Issue(ClientSpec("spiffe://test/renewed")));
  PlanNext(grpc::UNAUTHENTICATED, "CERTIFICATE_EXPIRED");
  ASSERT_TRUE(client_->GetCaller(Soon()).ok());
  EXPECT_THAT(broker_.peers(), ElementsAre("spiffe://test/demo", "spiffe://test/demo", "spiffe://test/renewed"));

  for (int i = 0; i < 2; ++i) PlanNext(grpc::UNAUTHENTICATED, "CERTIFICATE_EXPIRED");
  EXPECT_TRUE(absl::IsUnauthenticated(client_->GetCaller(Soon()).status()));
  EXPECT_THAT(broker_.peers(), SizeIs(5));
}

TEST_F(TokenClientTest, SaysThatItsCertificateHasEnded) {
  TestCertificateSpec spec = ClientSpec("spiffe://test/late");
  spec.not_after = seconds(-60);
  folder_.Replace(authority_.Issue(spec));
  const absl::Status status = Make(Options())->GetCaller(Soon()).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("the certificate in " + folder_.Path("cert.pem") + " ended at"));
}

TEST_F(TokenClientTest, TrustsOnlyItsAuthority) {
  TestAuthority stranger("Stranger");
  FakeBroker impostor(stranger);
  TokenClientOptions options = Options();
  options.address = impostor.address();
  EXPECT_TRUE(absl::IsUnavailable(Make(options)->GetCaller(Soon()).status()));
  EXPECT_THAT(impostor.peers(), IsEmpty());
}

TEST_F(TokenClientTest, UsesNoProxyOfTheEnvironment) {
  // Nothing listens there: a call that went by the proxy would fail.
  setenv("https_proxy", "http://127.0.0.1:1", 1);
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  setenv("grpc_proxy", "http://127.0.0.1:1", 1);
  const absl::Status status = Make(Options())->GetCaller(Soon()).status();
  unsetenv("https_proxy");
  unsetenv("http_proxy");
  unsetenv("grpc_proxy");
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(TokenClientTest, MayBeUsedFromManyThreads) {
  TokenClientOptions options = Options();
  options.reread_interval = Duration(0);
  const auto client = Make(options);
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&client, this, i] {
      if (i == 0) folder_.Replace(authority_.Issue(ClientSpec("spiffe://test/renewed")));
      for (int call = 0; call < 10; ++call) EXPECT_TRUE(client->GetCaller(Soon()).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(broker_.peers(), SizeIs(40));
}

TEST(MakeTokenClient, NamesTheOptionThatIsWrong) {
  TokenClientOptions options;
  EXPECT_EQ(CallErrorOf(MakeTokenClient(options).status()).reason, "CLIENT_OPTION_INVALID");
  options.address = "https://broker.test:8443";
  const absl::Status status = MakeTokenClient(options).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("without http:// or https://"));
  EXPECT_THAT(CallErrorOf(status).metadata, ElementsAre(Pair("option", "address")));
  for (const char* bad : {"broker",
                          "broker:",
                          ":8443",
                          "broker:0",
                          "broker:65536",
                          "broker:99999",
                          "broker:0x1",
                          "broker:+1",
                          "broker: 1",
                          "broker:8443\n",
                          " broker:8443",
                          "broker:8443/",
                          "unix:/run/broker",
                          "unix:broker",
                          "dns:///broker:8443",
                          "dns:broker:8443",
                          "::1:8443",
                          "[::1]",
                          "[::1]:0",
                          "[::g]:8443",
                          "[fe80::1%]:8443",
                          "[fe80::1%a b]:8443",
                          "0x7f.1:8443",
                          "127.1:8443",
                          "a:1,b:1"}) {
    options.address = bad;
    const absl::Status invalid = MakeTokenClient(options).status();
    EXPECT_THAT(CallErrorOf(invalid).metadata, ElementsAre(Pair("option", "address"))) << bad;
    EXPECT_THAT(std::string(invalid.message()), HasSubstr("'" + std::string(bad) + "' is invalid: "));
  }
  for (const char* good : {"localhost:1", "token_broker:65535", "broker.test.:8443", "10.0.0.1:8443", "[::1]:8443",
                           "[fe80::1%eth0]:8443"}) {
    options.address = good;
    EXPECT_THAT(CallErrorOf(MakeTokenClient(options).status()).metadata, ElementsAre(Pair("option", "ca_file")))
        << good;
  }
  options.address = "broker.test:8443";
  EXPECT_THAT(CallErrorOf(MakeTokenClient(options).status()).metadata, ElementsAre(Pair("option", "ca_file")));
}

}  // namespace
}  // namespace tokenbroker
