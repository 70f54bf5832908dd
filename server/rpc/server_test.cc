// The server itself: who may shake hands, what is too much, and what keeps it from starting.

#include "server/rpc/server.h"

#include "grpc/health/v1/health.grpc.pb.h"
#include "server/rpc/rpc_fixture.h"

namespace tokenbroker {
namespace {

using Stub = v1::TokenService::Stub;

TEST_F(RpcTest, WithoutACertificateOfItsAuthorityNobodyIsHeard) {
  TestAuthority stranger("Another authority");
  const TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  for (const auto& channel : {ChannelOf(nullptr), ChannelOf(&spec, &stranger)}) {
    const auto stub = v1::TokenService::NewStub(channel);
    v1::GetCallerResponse response;
    EXPECT_EQ(Call(*stub, &Stub::GetCaller, v1::GetCallerRequest(), response).error_code(),
              grpc::StatusCode::UNAVAILABLE);
  }
  EXPECT_EQ(log_.text(), "");
}

TEST_F(RpcTest, TooMuchIsRefusedAndTheConnectionGoesOn) {
  const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
  v1::GetCallerResponse response;
  v1::RevokeTokenRequest large;
  large.set_name(std::string(300 << 10, 'x'));
  v1::RevokeTokenResponse revoked;
  EXPECT_EQ(Call(*stub, &Stub::RevokeToken, large, revoked).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  ASSERT_TRUE(Call(*stub, &Stub::GetCaller, v1::GetCallerRequest(), response).ok());

  grpc::ClientContext context;
  context.AddMetadata("x-large", std::string(20 << 10, 'x'));
  const grpc::Status refused = Call(context, *stub, &Stub::GetCaller, v1::GetCallerRequest(), response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(refused.error_message().find("metadata"), std::string::npos) << refused.error_message();
  const grpc::Status next = Call(*stub, &Stub::GetCaller, v1::GetCallerRequest(), response);
  EXPECT_TRUE(next.ok()) << next.error_message() << ", after " << refused.error_message();
}

TEST_F(RpcTest, HealthChecksHearOfAShutdownBeforeItHappens) {
  const TestCertificateSpec spec = ClientSpec("spiffe://test/nobody");
  const auto health = grpc::health::v1::Health::NewStub(ChannelOf(&spec));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  const auto watch = health->Watch(&context, grpc::health::v1::HealthCheckRequest());
  grpc::health::v1::HealthCheckResponse state;
  ASSERT_TRUE(watch->Read(&state));
  EXPECT_EQ(state.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  std::thread end([&] { server_->Shutdown(seconds(30)); });
  EXPECT_TRUE(watch->Read(&state));
  EXPECT_EQ(state.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  context.TryCancel();
  (void)watch->Finish();
  end.join();
}

TEST_F(RpcTest, ASecondServerOnAPortDoesNotStart) {
  RpcServerOptions options = Options();
  options.address = address();
  const absl::Status second = RpcServer::Start(options, {*broker_, *policies_, loop_, metrics_, log_}).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(std::string(second.message()).find(options.address), std::string::npos) << second;
}

TEST_F(RpcTest, FilesThatCannotBeUsedAreNamed) {
  TestAuthority other;
  WriteFileOrDie(path("other.key"), other.Issue(ServerSpec()).key_pem);
  WriteFileOrDie(path("text"), "no PEM\n");
  WriteFileOrDie(path("empty"), "");
  // Without a body: what matters is that nobody is asked for the passphrase.
  WriteFileOrDie(path("locked.key"),
                 "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
                 "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n-----END RSA PRIVATE KEY-----\n");
  struct Case {
    std::string RpcServerOptions::*file;
    std::string name, says;
  };
  const std::vector<Case> cases = {
      {&RpcServerOptions::certificate_file, "missing", "No such file"},
      {&RpcServerOptions::certificate_file, "text", "certificate"},
      {&RpcServerOptions::certificate_file, "server.key", "certificate"},
      {&RpcServerOptions::key_file, "missing", "No such file"},
      {&RpcServerOptions::key_file, "empty", "key"},
      {&RpcServerOptions::key_file, "other.key", "key values mismatch"},
      {&RpcServerOptions::key_file, "locked.key", "key"},
      {&RpcServerOptions::client_ca_file, "missing", "No such file"},
      {&RpcServerOptions::client_ca_file, "empty", "authorities"},
  };
  for (const Case& each : cases) {
    RpcServerOptions options = Options();
    options.*each.file = path(each.name);
    const absl::Status status = RpcServer::Start(options, {*broker_, *policies_, loop_, metrics_, log_}).status();
    ASSERT_FALSE(status.ok()) << each.name;
    EXPECT_NE(std::string(status.message()).find(path(each.name)), std::string::npos) << status;
    EXPECT_NE(std::string(status.message()).find(each.says), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace tokenbroker
