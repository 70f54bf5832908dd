#include "server/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace tokenbroker {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

struct Route {
  std::mutex mutex;
  Log* log = nullptr;
  SteadyTime minute;  // When the present minute began.
  int lines = 0;      // In it.
  std::int64_t suppressed = 0;
};

Route& TheRoute() {
  static Route route;
  return route;
}

std::string_view FileName(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// The server has a better line for it: server/rpc/handshake_monitor.h.
bool IsFailedHandshake(const gpr_log_func_args& message) {
  return FileName(message.file) == "ssl_transport_security.cc" &&
         std::string_view(message.message).starts_with("Handshake failed");
}

// On any thread of gRPC's.
void Write(gpr_log_func_args* message) {
  if (message->severity != GPR_LOG_SEVERITY_ERROR || IsFailedHandshake(*message)) return;
  Route& route = TheRoute();
  const std::lock_guard lock(route.mutex);
  if (route.log == nullptr) return;
  const SteadyTime now = std::chrono::steady_clock::now();
  if (now - route.minute >= std::chrono::minutes(1)) {
    route.minute = now;
    route.lines = 0;
  }
  if (route.lines >= kMaxGrpcLines) {
    ++route.suppressed;
    return;
  }
  ++route.lines;
  route.log->Warn("grpc", {{"message", std::string_view(message->message)},
                           {"file", FileName(message->file)},
                           {"line", message->line},
                           {"suppressed", route.suppressed}});
  route.suppressed = 0;
}

}  // namespace

void RouteGrpcLog(Log& log) {
  Route& route = TheRoute();
  {
    const std::lock_guard lock(route.mutex);
    route.log = &log;
  }
  gpr_set_log_function(&Write);
}

void StopGrpcLog() {
  Route& route = TheRoute();
  const std::lock_guard lock(route.mutex);
  route.log = nullptr;
}

}  // namespace tokenbroker
