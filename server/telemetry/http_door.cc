#include "server/telemetry/http_door.h"

#include <civetweb.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <mutex>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tokenbroker {
namespace {

constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr char kTextType[] = "text/plain; charset=utf-8";

void Respond(mg_connection* connection, int status, const char* type, const std::string& body) {
  mg_printf(connection, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n\r\n",
            status, mg_get_response_code_text(connection, status), type, body.size());
  const bool head = std::string_view(mg_get_request_info(connection)->request_method) == "HEAD";
  if (!head) mg_write(connection, body.data(), body.size());
}

class Door final : public HttpDoor {
 public:
  Door(const Metrics& metrics, std::function<absl::Status()> ready)
      : registry_(metrics.registry()), ready_(std::move(ready)) {}
  ~Door() override {
    if (context_ != nullptr) mg_stop(context_);
  }

  absl::Status Listen(const std::string& address) {
    static const unsigned initialised = mg_init_library(MG_FEATURES_DEFAULT);
    (void)initialised;
    const char* options[] = {"listening_ports",
                             address.c_str(),
                             "num_threads",
                             "2",
                             "request_timeout_ms",
                             "5000",
                             "keep_alive_timeout_ms",
                             "500",
                             "linger_timeout_ms",
                             "0",
                             nullptr};
    mg_callbacks callbacks{};
    callbacks.log_message = [](const mg_connection*, const char*) { return 1; };  // Its words go nowhere.
    context_ = mg_start(&callbacks, this, options);
    mg_server_port ports[1] = {};
    if (context_ == nullptr || mg_get_server_ports(context_, 1, ports) != 1) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", address, ": is the address this host's, and the port free?"));
    }
    port_ = ports[0].port;
    mg_set_request_handler(context_, "**", &Handle, this);
    return absl::OkStatus();
  }

  int port() const override { return port_; }

 private:
  static int Handle(mg_connection* connection, void* self) {
    static_cast<Door*>(self)->Answer(connection);
    return 1;
  }

  void Answer(mg_connection* connection) const {
    const mg_request_info* request = mg_get_request_info(connection);
    const std::string_view method = request->request_method;
    const std::string_view path = request->local_uri == nullptr ? "" : request->local_uri;
    if (method != "GET" && method != "HEAD") return Respond(connection, 405, kTextType, "only GET and HEAD\n");
    if (path == "/metrics") {
      return Respond(connection, 200, kMetricsType, prometheus::TextSerializer().Serialize(registry_->Collect()));
    }
    if (path == "/livez") return Respond(connection, 200, kTextType, "alive\n");
    if (path == "/readyz") {
      const absl::Status ready = ready_();
      return ready.ok() ? Respond(connection, 200, kTextType, "ready\n")
                        : Respond(connection, 503, kTextType, std::string(ready.message()) + "\n");
    }
    Respond(connection, 404, kTextType, "here are /metrics, /livez and /readyz\n");
  }

  const std::shared_ptr<prometheus::Registry> registry_;
  const std::function<absl::Status()> ready_;
  mg_context* context_ = nullptr;
  int port_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpDoor>> HttpDoor::Open(const std::string& address, const Metrics& metrics,
                                                         std::function<absl::Status()> ready) {
  auto door = std::make_unique<Door>(metrics, std::move(ready));
  const absl::Status listening = door->Listen(address);
  if (!listening.ok()) return listening;
  return door;
}

}  // namespace tokenbroker
