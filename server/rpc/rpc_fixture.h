#pragma once
// Testonly: the service behind its real door, mutual TLS over a real port, on the broker of the use cases' own tests.
// Certificates end by the host's clock; what the service takes for the time is the test's.

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "server/broker/broker_fixture.h"
#include "server/rpc/server.h"
#include "server/telemetry/metrics_page.h"
#include "tests/support/test_certificates.h"
#include "tokenbroker/v1/token_service.grpc.pb.h"

namespace tokenbroker {

// Keeps what is logged, at every level.
class KeptLog final : public Log {
 public:
  void Write(LogLevel level, std::string_view event, Fields fields) override;
  std::string text() const;

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

class RpcTest : public BrokerTest {
 protected:
  RpcTest();
  ~RpcTest() override;

  RpcServerOptions Options() const;
  // Another server in the place of the one that runs.
  void StartServer(const RpcServerOptions& options, BearerVerifier* bearers = nullptr);
  std::string address() const { return "127.0.0.1:" + std::to_string(server_->port()); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  // A channel of its own connection. Without a certificate if `spec` is null.
  std::shared_ptr<grpc::Channel> ChannelOf(const TestCertificateSpec* spec, TestAuthority* signer = nullptr);
  std::shared_ptr<grpc::Channel> ChannelWith(const TestCertificate& certificate,
                                             const grpc::ChannelArguments& more = {});
  std::unique_ptr<v1::TokenService::Stub> StubOf(const TestCertificateSpec& spec);

  // Calls on a thread of its own, while this one runs the broker.
  template <typename Method, typename Request, typename Response>
  grpc::Status Call(v1::TokenService::Stub& stub, Method method, const Request& request, Response& response) {
    grpc::ClientContext context;
    return Call(context, stub, method, request, response);
  }
  template <typename Method, typename Request, typename Response>
  grpc::Status Call(grpc::ClientContext& context, v1::TokenService::Stub& stub, Method method, const Request& request,
                    Response& response) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    grpc::Status status;
    Meanwhile([&] { status = (stub.*method)(&context, request, &response); });
    return status;
  }
  // Runs `work` on a thread of its own, and the broker until it ends.
  void Meanwhile(const std::function<void()>& work);

  static v1::CreateTokenRequest CreateTokenRequest();

  TestAuthority authority_;
  KeptLog log_;
  std::string folder_;
  std::unique_ptr<RpcServer> server_;
};

// What the details of a failure say.
google::rpc::ErrorInfo InfoOf(const grpc::Status& status);

}  // namespace tokenbroker
