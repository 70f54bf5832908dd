// A blocking HTTP client on one kept connection that hides nothing: what the peer did to the connection is a result.
#pragma once

#include <cstdint>
#include <string>

#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

struct RawReply {
  enum class End {
    kComplete,  // The whole answer; the connection stays open.
    kClosed,    // Closed by the peer before the answer was complete.
    kReset,     // Reset by the peer before the answer was complete.
    kTimeout,   // Nothing for ten seconds.
  };
  End end = End::kComplete;
  int status = 0;  // 0: no status line arrived.
  Headers headers;
  std::string body;  // As far as it came.
};

class RawClient {
 public:
  explicit RawClient(uint16_t port);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return fd_ >= 0; }
  RawReply Send(const std::string& method, const std::string& target, const Headers& headers,
                const std::string& body = "");

 private:
  int fd_ = -1;
};

// The port of "http://127.0.0.1:1234".
uint16_t PortOf(const std::string& url);

}  // namespace tokenbroker::gitlab_sim
