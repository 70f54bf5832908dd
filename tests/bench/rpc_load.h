#pragma once
// Calls of TokenService as many at a time as wanted, without a thread for each.

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/measure.h"
#include "tokenbroker/v1/token_service.grpc.pb.h"

namespace tokenbroker::bench {

struct RpcPeer {
  std::string address;
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
};

// Thread-safe.
class RpcLoad {
 public:
  // With `connections` of its own, used in turn.
  explicit RpcLoad(const RpcPeer& peer, int connections = 1);

  // Begin one call each, with a deadline of two minutes.
  void Create(const v1::CreateTokenRequest& request, Done done);
  void List(const v1::ListTokensRequest& request, Done done);

 private:
  v1::TokenService::Stub& NextStub();

  std::vector<std::shared_ptr<v1::TokenService::Stub>> stubs_;
  std::atomic<std::size_t> calls_ = 0;
};

}  // namespace tokenbroker::bench
