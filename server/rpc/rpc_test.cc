// Calls through the real door: who is heard, what is answered, and what stays behind when a caller leaves.

#include "server/rpc/rpc_fixture.h"

namespace tokenbroker {
namespace {

using Stub = v1::TokenService::Stub;

constexpr auto kCreate =
    static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::CreateTokenRequest&, v1::CreateTokenResponse*)>(
        &Stub::CreateToken);

TEST_F(RpcTest, ATokenIsMintedReadListedAndRevoked) {
  const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
  v1::CreateTokenResponse created;
  const grpc::Status status = Call(*stub, kCreate, CreateTokenRequest(), created);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(created.token().state(), v1::TOKEN_STATE_ACTIVE);
  EXPECT_EQ(created.token().owner(), "callers/ci");
  ASSERT_FALSE(created.secret().empty());

  v1::GetTokenRequest get;
  get.set_name(created.token().name());
  v1::Token got;
  ASSERT_TRUE(Call(*stub, &Stub::GetToken, get, got).ok());
  EXPECT_EQ(got.name(), created.token().name());

  v1::ListTokensResponse listed;
  ASSERT_TRUE(Call(*stub, &Stub::ListTokens, v1::ListTokensRequest(), listed).ok());
  EXPECT_EQ(listed.tokens_size(), 1);

  v1::RevokeTokenRequest revoke;
  revoke.set_name(created.token().name());
  v1::Token revoked;
  ASSERT_TRUE(Call(*stub, &Stub::RevokeToken, revoke, revoked).ok());
  EXPECT_EQ(revoked.state(), v1::TOKEN_STATE_REVOKED);
  EXPECT_TRUE(gitlab_.live().empty());

  v1::GetCallerResponse caller;
  ASSERT_TRUE(Call(*stub, &Stub::GetCaller, v1::GetCallerRequest(), caller).ok());
  EXPECT_EQ(caller.caller().name(), "callers/ci");
  EXPECT_EQ(caller.caller().identity(), "spiffe://test/ci");

  EXPECT_NE(log_.text().find("method=CreateToken"), std::string::npos);
  EXPECT_EQ(log_.text().find(created.secret()), std::string::npos);
  EXPECT_NE(MetricsPage(metrics_).find("tokenbroker_rpc_requests_total{code=\"OK\",method=\"CreateToken\"} 1"),
            std::string::npos);
}

TEST_F(RpcTest, WhatARequestMayNotSayIsAnsweredAndLogged) {
  const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
  v1::CreateTokenRequest request = CreateTokenRequest();
  request.mutable_token()->clear_expiration();
  v1::CreateTokenResponse response;
  const grpc::Status status = Call(*stub, kCreate, request, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(InfoOf(status).domain(), "tokenbroker");
  EXPECT_EQ(InfoOf(status).reason(), "FIELD_INVALID");
  EXPECT_NE(log_.text().find("call failed method=CreateToken caller=ci code=INVALID_ARGUMENT reason=FIELD_INVALID"),
            std::string::npos)
      << log_.text();
}

TEST_F(RpcTest, ADenialIsExplainedAndTiedToTheAudit) {
  const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
  v1::CheckAccessRequest check;
  *check.mutable_token() = CreateTokenRequest().token();
  check.mutable_token()->add_scopes("k8s_proxy");
  v1::CheckAccessResponse answer;
  const grpc::Status status = Call(*stub, &Stub::CheckAccess, check, answer);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_FALSE(answer.allowed());
  EXPECT_EQ(answer.reason(), "NOT_GRANTED");
  EXPECT_EQ(answer.closest().scopes_size(), 1);

  v1::CreateTokenRequest request;
  *request.mutable_token() = check.token();
  v1::CreateTokenResponse response;
  const grpc::Status refused = Call(*stub, kCreate, request, response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  const std::string id = InfoOf(refused).metadata().at("decision_id");
  ASSERT_TRUE(loop_.Finish(ledger_->ClaimDue(1)).ok());  // A write that is answered comes behind those that are not.
  const absl::StatusOr<std::vector<AuditRecord>> records = loop_.Finish(ledger_->ReadAudit({}));
  ASSERT_TRUE(records.ok()) << records.status();
  std::string kept;
  for (const AuditRecord& record : *records) kept += record.event.body;
  EXPECT_NE(kept.find("\"decision_id\":\"" + answer.decision_id() + "\""), std::string::npos) << kept;
  EXPECT_NE(kept.find("\"decision_id\":\"" + id + "\""), std::string::npos) << kept;

  *request.mutable_token() = answer.closest();
  request.set_validate_only(true);
  EXPECT_TRUE(Call(*stub, kCreate, request, response).ok());
}

TEST_F(RpcTest, TwoHundredBadScopesAreCountedAndTheStatusArrives) {
  const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
  v1::CreateTokenRequest request = CreateTokenRequest();
  for (int i = 0; i < 200; ++i) {
    std::string scope = std::to_string(i);
    for (int j = 0; j < 100; ++j) scope += "\xe2\x82\xac";
    request.mutable_token()->add_scopes(scope);
  }
  v1::CreateTokenResponse response;
  const grpc::Status status = Call(*stub, kCreate, request, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
  // Each scope, and that there are too many.
  EXPECT_EQ(InfoOf(status).metadata().at("violations"), "201");
}

// As many entries as a request has room for: the answer must not take longer than it takes to read them.
TEST_F(RpcTest, AFloodOfBadEntriesIsRefusedAtOnce) {
  const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
  v1::CreateTokenRequest request = CreateTokenRequest();
  for (int i = 0; i < 20'000; ++i) request.mutable_token()->add_scopes("x");
  ASSERT_LT(request.ByteSizeLong(), 64u << 10);
  v1::CreateTokenResponse response;
  const grpc::Status scopes = Call(*stub, kCreate, request, response);
  EXPECT_EQ(scopes.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << scopes.error_message();
  EXPECT_NE(scopes.error_message().find("20001"), std::string::npos) << scopes.error_message();

  request = CreateTokenRequest();
  for (int i = 0; i < 5'000; ++i) (*request.mutable_token()->mutable_labels())[std::to_string(i)] = "\n";
  const grpc::Status labels = Call(*stub, kCreate, request, response);
  EXPECT_EQ(labels.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << labels.error_message();
  EXPECT_NE(labels.error_message().find("5000"), std::string::npos) << labels.error_message();
}

TEST_F(RpcTest, ACallerThatLeavesIsAnsweredAtOnceAndItsTokenIsTakenBack) {
  const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
  gitlab_.set_mint_takes(seconds(5));
  grpc::ClientContext context;
  v1::CreateTokenResponse response;
  grpc::Status status;
  std::thread caller([&] { status = stub->CreateToken(&context, CreateTokenRequest(), &response); });
  EXPECT_TRUE(loop_.RunUntil([&] { return gitlab_.posts() == 1; }));
  context.TryCancel();
  caller.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  // The server hears of it while the POST is still under way.
  EXPECT_TRUE(loop_.RunUntil([&] {
    loop_.Post([] {});
    return MetricsPage(metrics_).find("{code=\"CANCELLED\",method=\"CreateToken\"} 1") != std::string::npos;
  }));
  EXPECT_EQ(gitlab_.live().size(), 1u);
  StartJobs();
  Pass(seconds(10));
  EXPECT_TRUE(gitlab_.live().empty());
  EXPECT_EQ(OnlyToken().state, TokenState::kRevoked);
  EXPECT_EQ(OnlyToken().revoke_reason, RevokeReason::kCallerGone);
}

// Never called: no call has a token. With it, the policy's callers are judged by the call and not by the handshake
// (handshake_test.cc).
class NoBearer final : public BearerVerifier {
 public:
  absl::StatusOr<BearerFacts> Verify(std::string_view, WallTime) override { return absl::InternalError("called"); }
};

// A bearer token may say who calls.
class BearerTest : public RpcTest {
 protected:
  BearerTest() {
    RpcServerOptions options = Options();
    options.client_certificate_required = options.callers.client_certificate_required = false;
    StartServer(options, &bearers_);
  }

  NoBearer bearers_;
};

TEST_F(BearerTest, WhoIsUnknownIsToldSoAndNoMore) {
  const auto stub = StubOf(ClientSpec("spiffe://test/nobody"));
  v1::GetCallerResponse response;
  const grpc::Status status = Call(*stub, &Stub::GetCaller, v1::GetCallerRequest(), response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(InfoOf(status).reason(), "UNKNOWN_CALLER");
  EXPECT_NE(MetricsPage(metrics_).find("tokenbroker_authentication_failures_total{reason=\"UNKNOWN_CALLER\"} 1"),
            std::string::npos);
  EXPECT_NE(log_.text().find("caller not recognised"), std::string::npos);
}

// Two names of two callers: the operator's log says that there were two, the peer does not learn it.
TEST_F(BearerTest, ThatTwoCallersMatchIsForTheLogAlone) {
  TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  config::v1::Policy source;
  for (const char* name : {"one", "two"}) {
    config::v1::CallerRule& caller = *source.add_callers();
    caller.set_name(name);
    caller.add_identities()->set_dns(std::string(name) + ".test");
  }
  policies_->Set(*Policy::Compile(source, "test", {}));
  spec.uris.clear();
  spec.dns_names = {"one.test", "two.test"};
  const auto stub = StubOf(spec);
  v1::GetCallerResponse response;
  const grpc::Status status = Call(*stub, &Stub::GetCaller, v1::GetCallerRequest(), response);
  EXPECT_EQ(InfoOf(status).reason(), "UNKNOWN_CALLER");
  EXPECT_EQ(status.error_message().find("more than one"), std::string::npos);
  EXPECT_NE(log_.text().find("more than one"), std::string::npos);
}

TEST_F(BearerTest, NeitherACommonNameNorAnEMailAddressIsAnIdentity) {
  TestCertificateSpec spec;
  spec.common_name = "spiffe://test/ci";
  spec.emails = {"spiffe://test/ci"};
  const auto stub = StubOf(spec);
  v1::GetCallerResponse response;
  const grpc::Status status = Call(*stub, &Stub::GetCaller, v1::GetCallerRequest(), response);
  EXPECT_EQ(InfoOf(status).reason(), "UNKNOWN_CALLER");
}

TEST_F(RpcTest, AnIdentityEndsWithItsCertificateOnAnOpenConnection) {
  const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
  v1::GetCallerResponse response;
  ASSERT_TRUE(Call(*stub, &Stub::GetCaller, v1::GetCallerRequest(), response).ok());
  loop_.StepWall(minutes(59));
  ASSERT_TRUE(Call(*stub, &Stub::GetCaller, v1::GetCallerRequest(), response).ok());
  loop_.StepWall(minutes(2));
  const grpc::Status status = Call(*stub, &Stub::GetCaller, v1::GetCallerRequest(), response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(InfoOf(status).reason(), "CERTIFICATE_EXPIRED");
}

}  // namespace
}  // namespace tokenbroker
