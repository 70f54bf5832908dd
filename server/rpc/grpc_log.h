#pragma once
// gRPC's own messages as lines of our log: it would write them raw to standard error, one or two for each failed
// handshake.

#include "server/base/clock.h"
#include "server/telemetry/log.h"

namespace tokenbroker {

// From now on gRPC's errors become lines of `log` (event "grpc"), at most kMaxGrpcLines a minute; what is over that is
// counted, and the next line reports it. Everything below an error is dropped, and so are failed handshakes, which have
// lines with their peers' addresses instead (server/rpc/handshake_monitor.h). The log must outlive every use of gRPC,
// or be taken away with StopGrpcLog. Process-wide.
inline constexpr int kMaxGrpcLines = 20;
void RouteGrpcLog(Log& log);
// gRPC's messages are dropped from now on.
void StopGrpcLog();

}  // namespace tokenbroker
