#pragma once
// The side door: /metrics, /livez and /readyz on one HTTP port, for Prometheus and the kubelet. No caller's data and no
// secret passes here, and nothing else is served.

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

class HttpDoor {
 public:
  // `address`: "host:port", port 0 for any free one. `ready` answers OK or why not (503 with its message); it is called
  // on the door's own thread, and must not wait. "[::1]:0" and "[::]:0" are IPv6's forms. UNAVAILABLE, naming the
  // address, if the port is taken. At most 128 connections are open: one more ends the oldest, and one that sends no
  // request for 5 s ends by itself.
  static absl::StatusOr<std::unique_ptr<HttpDoor>> Open(const std::string& address, const Metrics& metrics,
                                                        std::function<absl::Status()> ready);
  virtual ~HttpDoor() = default;
  // The port that it really listens on.
  virtual int port() const = 0;
};

}  // namespace tokenbroker
