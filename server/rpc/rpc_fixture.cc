#include "server/rpc/rpc_fixture.h"

#include <stdlib.h>

#include <atomic>
#include <filesystem>

#include "google/rpc/status.pb.h"

namespace tokenbroker {

void KeptLog::Write(LogLevel, std::string_view event, Fields fields) {
  const std::lock_guard lock(mutex_);
  text_ += event;
  for (const LogField& field : fields) {
    text_ += ' ' + std::string(field.key) + '=';
    if (const auto* value = std::get_if<std::string_view>(&field.value)) text_ += *value;
  }
  text_ += '\n';
}

std::string KeptLog::text() const {
  const std::lock_guard lock(mutex_);
  return text_;
}

RpcTest::RpcTest() {
  std::string folder = testing::TempDir() + "rpc_XXXXXX";
  folder_ = mkdtemp(folder.data());
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  loop_.StepWall(WallTime(duration_cast<Duration>(now)) - loop_.Now());
  const TestCertificate certificate = authority_.Issue(ServerSpec());
  WriteFileOrDie(path("server.pem"), certificate.certificate_pem);
  WriteFileOrDie(path("server.key"), certificate.key_pem);
  WriteFileOrDie(path("ca.pem"), authority_.certificate_pem());
  StartServer(Options());
}

RpcTest::~RpcTest() {
  server_.reset();
  std::filesystem::remove_all(folder_);
}

void RpcTest::StartServer(const RpcServerOptions& options, BearerVerifier* bearers) {
  server_.reset();
  absl::StatusOr<std::unique_ptr<RpcServer>> server =
      RpcServer::Start(options, {*broker_, *policies_, loop_, metrics_, log_, bearers});
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
}

RpcServerOptions RpcTest::Options() const {
  RpcServerOptions options;
  options.address = "127.0.0.1:0";
  options.certificate_file = path("server.pem");
  options.key_file = path("server.key");
  options.client_ca_file = path("ca.pem");
  return options;
}

std::shared_ptr<grpc::Channel> RpcTest::ChannelOf(const TestCertificateSpec* spec, TestAuthority* signer) {
  return ChannelWith(spec == nullptr ? TestCertificate() : (signer == nullptr ? authority_ : *signer).Issue(*spec));
}

std::shared_ptr<grpc::Channel> RpcTest::ChannelWith(const TestCertificate& certificate,
                                                    const grpc::ChannelArguments& more) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = authority_.certificate_pem();
  tls.pem_cert_chain = certificate.certificate_pem;
  tls.pem_private_key = certificate.key_pem;
  grpc::ChannelArguments arguments = more;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address(), grpc::SslCredentials(tls), arguments);
}

std::unique_ptr<v1::TokenService::Stub> RpcTest::StubOf(const TestCertificateSpec& spec) {
  return v1::TokenService::NewStub(ChannelOf(&spec));
}

void RpcTest::Meanwhile(const std::function<void()>& work) {
  std::atomic<bool> done = false;
  std::thread thread([&] {
    work();
    done = true;
    loop_.Post([] {});
  });
  EXPECT_TRUE(loop_.RunUntil([&] { return done.load(); }, seconds(60)));
  thread.join();
}

v1::CreateTokenRequest RpcTest::CreateTokenRequest() {
  v1::CreateTokenRequest request;
  v1::Token& token = *request.mutable_token();
  token.set_display_name("scan");
  token.mutable_target()->set_user("42");
  token.add_scopes("read_user");
  token.mutable_ttl()->set_seconds(3600);
  return request;
}

google::rpc::ErrorInfo InfoOf(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_GE(details.details_size(), 1) << status.error_message();
  EXPECT_TRUE(details.details_size() > 0 && details.details(0).UnpackTo(&info));
  return info;
}

}  // namespace tokenbroker
