#include "tests/bench/rpc_load.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <mutex>
#include <utility>

namespace tokenbroker::bench {
namespace {

constexpr std::chrono::minutes kPatience(2);

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

template <typename Response>
struct Call {
  grpc::ClientContext context;
  Response response;
};

template <typename Response>
std::shared_ptr<Call<Response>> MakeCall() {
  auto call = std::make_shared<Call<Response>>();
  call->context.set_deadline(std::chrono::system_clock::now() + kPatience);
  return call;
}

// Keeps a channel for as long as the process lives: with the last one, gRPC 1.51 takes down the threads that call back,
// and may abort over it.
void KeepForEver(std::shared_ptr<v1::TokenService::Stub> stub) {
  static auto* const mutex = new std::mutex;
  static auto* const kept = new std::vector<std::shared_ptr<v1::TokenService::Stub>>;
  const std::lock_guard lock(*mutex);
  kept->push_back(std::move(stub));
}

std::string ErrorOf(std::string_view method, const grpc::Status& status) {
  if (status.ok()) return "";
  return std::string(method) + " failed with " + std::to_string(status.error_code()) + ": " + status.error_message();
}

}  // namespace

RpcLoad::RpcLoad(const RpcPeer& peer, int connections) {
  const auto credentials =
      grpc::SslCredentials({ReadFile(peer.ca_file), ReadFile(peer.key_file), ReadFile(peer.certificate_file)});
  for (int i = 0; i < connections; ++i) {
    grpc::ChannelArguments settings;
    settings.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    settings.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stubs_.push_back(v1::TokenService::NewStub(grpc::CreateCustomChannel(peer.address, credentials, settings)));
    KeepForEver(stubs_.back());
  }
}

void RpcLoad::Create(const v1::CreateTokenRequest& request, Done done) {
  const auto call = MakeCall<v1::CreateTokenResponse>();
  NextStub().async()->CreateToken(
      &call->context, &request, &call->response,
      [call, done = std::move(done)](const grpc::Status& status) { done(ErrorOf("CreateToken", status)); });
}

void RpcLoad::List(const v1::ListTokensRequest& request, Done done) {
  const auto call = MakeCall<v1::ListTokensResponse>();
  NextStub().async()->ListTokens(
      &call->context, &request, &call->response,
      [call, done = std::move(done)](const grpc::Status& status) { done(ErrorOf("ListTokens", status)); });
}

v1::TokenService::Stub& RpcLoad::NextStub() { return *stubs_[calls_++ % stubs_.size()]; }

}  // namespace tokenbroker::bench
