// The server itself: who may shake hands, what is too much, and what keeps it from starting.

#include "server/rpc/server.h"

#include "grpc/health/v1/health.grpc.pb.h"
#include "server/rpc/raw_peer.h"
#include "server/rpc/rpc_fixture.h"
#include "server/telemetry/metrics_page.h"

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
  EXPECT_NE(log_.text().find("TLS handshake failed peer=127.0.0.1 reason=no_certificate"), std::string::npos);
  EXPECT_NE(log_.text().find("TLS handshake failed peer=127.0.0.1 reason=untrusted"), std::string::npos);
  EXPECT_EQ(log_.text().find("call"), std::string::npos) << log_.text();
}

TEST_F(RpcTest, TooMuchIsRefusedAndTheConnectionGoesOn) {
  const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
  v1::GetCallerResponse response;
  v1::RevokeTokenRequest large;
  large.set_name(std::string(65 << 10, 'x'));
  v1::Token revoked;
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

TEST_F(RpcTest, ACallerHasSoManyCallsAtWorkAndOthersAreNotConcerned) {
  RpcServerOptions options = Options();
  options.callers.max_calls_per_caller = 2;
  StartServer(options);
  const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
  const auto other = StubOf(ClientSpec("spiffe://test/other"));
  gitlab_.set_mint_takes(seconds(5));
  grpc::ClientContext contexts[2];
  v1::CreateTokenResponse made[2];
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i) {
    callers.emplace_back([&, i] { (void)stub->CreateToken(&contexts[i], CreateTokenRequest(), &made[i]); });
  }
  EXPECT_TRUE(loop_.RunUntil([&] { return gitlab_.posts() == 2; }));

  v1::GetCallerResponse response;
  const auto ask = [&](Stub& of) { return Call(of, &Stub::GetCaller, v1::GetCallerRequest(), response); };
  const grpc::Status third = ask(*stub);
  EXPECT_EQ(third.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(InfoOf(third).reason(), "TOO_MANY_CALLS");
  EXPECT_TRUE(ask(*other).ok());

  // Leaving frees no place while the work goes on.
  for (grpc::ClientContext& each : contexts) each.TryCancel();
  for (std::thread& each : callers) each.join();
  EXPECT_EQ(InfoOf(ask(*stub)).reason(), "TOO_MANY_CALLS");
  Pass(seconds(10));
  EXPECT_TRUE(ask(*stub).ok());
}

TEST_F(RpcTest, OneMoreConnectionThanTheBoundEndsAnother) {
  RpcServerOptions options = Options();
  options.max_connections = 2;
  StartServer(options);
  const auto ask = [&](Stub& stub) {
    v1::GetCallerResponse response;
    return Call(stub, &Stub::GetCaller, v1::GetCallerRequest(), response).error_code();
  };
  const auto first = StubOf(ClientSpec("spiffe://test/ci"));
  const auto second = StubOf(ClientSpec("spiffe://test/ci"));
  EXPECT_EQ(ask(*first), grpc::StatusCode::OK);
  EXPECT_EQ(ask(*second), grpc::StatusCode::OK);
  EXPECT_EQ(ask(*StubOf(ClientSpec("spiffe://test/ci"))), grpc::StatusCode::OK);
  EXPECT_NE(log_.text().find("too many connections"), std::string::npos);
  EXPECT_EQ(MetricsPage(metrics_).find("tokenbroker_connections_refused_total 0\n"), std::string::npos);
  // Whose connection was ended makes another one.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (ask(*first) != grpc::StatusCode::OK) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
}

TEST_F(RpcTest, SilentConnectionsLockNoCallerOut) {
  RpcServerOptions options = Options();
  options.max_connections = 20;
  StartServer(options);
  std::vector<std::unique_ptr<RawPeer>> silent;
  for (int i = 0; i < 100; ++i) silent.push_back(std::make_unique<RawPeer>(server_->port()));
  v1::GetCallerResponse response;
  for (int i = 0; i < 10; ++i) {
    const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
    EXPECT_TRUE(Call(*stub, &Stub::GetCaller, v1::GetCallerRequest(), response).ok());
    silent.push_back(std::make_unique<RawPeer>(server_->port()));
  }
}

TEST_F(RpcTest, WhoDoesNotShakeHandsIsPutOut) {
  RpcServerOptions options = Options();
  options.handshake_timeout = milliseconds(200);
  StartServer(options);
  RawPeer silent(server_->port());
  EXPECT_TRUE(silent.IsPutOut());
}

TEST_F(RpcTest, Tls12IsTheFloorAndTls13IsTakenWhereItCanBe) {
  const TestCertificate certificate = authority_.Issue(ClientSpec("spiffe://test/ci"));
  EXPECT_EQ(RawPeer(server_->port()).ShakeHands(certificate, TLS1_VERSION, TLS1_1_VERSION), "");
  EXPECT_EQ(RawPeer(server_->port()).ShakeHands(certificate, TLS1_VERSION, TLS1_2_VERSION), "TLSv1.2");
  EXPECT_EQ(RawPeer(server_->port()).ShakeHands(certificate, TLS1_VERSION, TLS1_3_VERSION), "TLSv1.3");
}

TEST_F(RpcTest, AConnectionIsToldItsBoundsAndEndsWithItsAge) {
  RpcServerOptions options = Options();
  options.max_connection_age = seconds(1);
  StartServer(options);
  RawPeer peer(server_->port());
  ASSERT_EQ(peer.ShakeHands(authority_.Issue(ClientSpec("spiffe://test/ci")), TLS1_2_VERSION, TLS1_3_VERSION),
            "TLSv1.3");
  peer.Write(std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") + std::string("\0\0\0\4\0\0\0\0\0", 9));
  std::optional<RawPeer::Frame> frame = peer.ReadFrame();
  ASSERT_TRUE(frame.has_value());
  ASSERT_EQ(frame->type, 4);  // SETTINGS.
  std::map<int, std::uint32_t> settings;
  for (std::size_t i = 0; i + 6 <= frame->payload.size(); i += 6) {
    const auto byte = [&](std::size_t at) {
      return static_cast<std::uint32_t>(static_cast<unsigned char>(frame->payload[i + at]));
    };
    settings[static_cast<int>(byte(0) << 8 | byte(1))] = byte(2) << 24 | byte(3) << 16 | byte(4) << 8 | byte(5);
  }
  EXPECT_EQ(settings[3], 256u + 64);  // MAX_CONCURRENT_STREAMS.
  EXPECT_EQ(settings[6], 64u << 10);  // MAX_HEADER_LIST_SIZE.
  while (frame.has_value() && frame->type != 7) frame = peer.ReadFrame();
  EXPECT_TRUE(frame.has_value());  // GOAWAY.
}

TEST_F(RpcTest, HealthChecksHearOfAShutdownBeforeItHappens) {
  const TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
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

TEST_F(RpcTest, HealthIsKnownByServiceName) {
  const TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  const auto health = grpc::health::v1::Health::NewStub(ChannelOf(&spec));
  for (const char* const service : {"", "tokenbroker.v1.TokenService", "tokenbroker.v1.AdminService"}) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse state;
    ASSERT_TRUE(health->Check(&context, request, &state).ok()) << service;
    EXPECT_EQ(state.status(), grpc::health::v1::HealthCheckResponse::SERVING) << service;
  }
}

// Nobody cancels anything: the watcher hears, and its stream ends.
TEST_F(RpcTest, ADrainWithoutCallsWaitsForNoWatcherAndNoSilentPeer) {
  const TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  const auto health = grpc::health::v1::Health::NewStub(ChannelOf(&spec));
  grpc::ClientContext context;
  const auto watch = health->Watch(&context, grpc::health::v1::HealthCheckRequest());
  grpc::health::v1::HealthCheckResponse state;
  ASSERT_TRUE(watch->Read(&state));
  RawPeer silent(server_->port());
  RawPeer silent_http2(server_->port());
  ASSERT_EQ(silent_http2.ShakeHands(authority_.Issue(ClientSpec("spiffe://test/ci")), TLS1_2_VERSION, TLS1_3_VERSION),
            "TLSv1.3");
  const auto began = std::chrono::steady_clock::now();
  std::thread end([&] { server_->Shutdown(seconds(300)); });  // For calls; there is none.
  EXPECT_TRUE(watch->Read(&state));
  EXPECT_EQ(state.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&state));
  (void)watch->Finish();
  end.join();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(30));
}

// 40 KB that unpack to 40 MB.
TEST_F(RpcTest, ACompressedRequestIsRejectedUnread) {
  const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  v1::RevokeTokenRequest request;
  request.set_name(std::string(40 << 20, 'x'));
  v1::Token response;
  const grpc::Status status = Call(context, *stub, &Stub::RevokeToken, request, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << status.error_message();
  v1::GetCallerResponse caller;
  EXPECT_TRUE(Call(*stub, &Stub::GetCaller, v1::GetCallerRequest(), caller).ok());
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
