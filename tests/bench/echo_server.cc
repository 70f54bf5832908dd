// The floor of every call: the same connection, the same messages, and nothing between them. Answers CreateToken with
// the token that was asked for. Prints one line of JSON when it serves, and serves until it is killed.

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "server/process.h"
#include "tokenbroker/v1/token_service.grpc.pb.h"

namespace tokenbroker::bench {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

class Echo final : public v1::TokenService::CallbackService {
 public:
  grpc::ServerUnaryReactor* CreateToken(grpc::CallbackServerContext* context, const v1::CreateTokenRequest* request,
                                        v1::CreateTokenResponse* response) override {
    *response->mutable_token() = request->token();
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

int Serve(const std::string& ca_file, const std::string& certificate_file, const std::string& key_file) {
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = ReadFile(ca_file);
  options.pem_key_cert_pairs = {{ReadFile(key_file), ReadFile(certificate_file)}};
  Echo echo;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port);
  builder.RegisterService(&echo);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) return 1;
  std::printf("{\"event\":\"serving\",\"grpc\":\"127.0.0.1:%d\"}\n", port);
  std::fflush(stdout);
  server->Wait();
  return 0;
}

}  // namespace
}  // namespace tokenbroker::bench

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: echo_server CA_FILE CERTIFICATE_FILE KEY_FILE\n");
    return 2;
  }
  tokenbroker::PrepareForLoad();
  return tokenbroker::bench::Serve(argv[1], argv[2], argv[3]);
}
