#include "server/telemetry/http_door.h"

#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/telemetry/process_metrics.h"

namespace tokenbroker {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr char kTextType[] = "text/plain; charset=utf-8";

// A connection over this bound ends the oldest one: peers that say nothing cost each other their places, and a probe
// none of its time.
constexpr std::size_t kMaxConnections = 128;
// For a request's head, and for a response to be taken.
constexpr std::chrono::seconds kTimeout(5);
constexpr std::uint32_t kMaxHeadBytes = 8 << 10;
// What a process without free descriptors waits before it accepts again.
constexpr std::chrono::milliseconds kAcceptPause(20);

using Response = http::response<http::string_body>;

// One connection. Lives as long as one of its operations is pending, all on the loop's thread.
class Session : public std::enable_shared_from_this<Session> {
 public:
  using Respond = std::function<Response(const http::request<http::empty_body>&)>;

  Session(tcp::socket socket, const Respond& respond, std::function<void()> ended)
      : stream_(std::move(socket)), respond_(respond), ended_(std::move(ended)) {}
  ~Session() { ended_(); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void Read() {
    parser_.emplace();
    parser_->header_limit(kMaxHeadBytes);
    stream_.expires_after(kTimeout);
    http::async_read_header(stream_, buffer_, *parser_, [self = shared_from_this()](error_code error, std::size_t) {
      if (!error) self->Write();
    });
  }
  void Close() { stream_.close(); }

 private:
  void Write() {
    const http::request<http::empty_body>& request = parser_->get();
    response_ = respond_(request);
    // A body would have to be read before the next request.
    response_.keep_alive(request.keep_alive() && parser_->is_done());
    response_.prepare_payload();
    if (request.method() == http::verb::head) response_.body().clear();
    stream_.expires_after(kTimeout);
    http::async_write(stream_, response_, [self = shared_from_this()](error_code error, std::size_t) {
      if (!error && self->response_.keep_alive()) return self->Read();
      error_code ignored;
      self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    });
  }

  beast::tcp_stream stream_;
  const Respond& respond_;
  const std::function<void()> ended_;
  beast::flat_buffer buffer_{2 * kMaxHeadBytes};
  std::optional<http::request_parser<http::empty_body>> parser_;
  Response response_;
};

class Door final : public HttpDoor {
 public:
  Door(const Metrics& metrics, std::function<absl::Status()> ready)
      : registry_(metrics.registry()), ready_(std::move(ready)) {}
  ~Door() override {
    loop_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen(const std::string& address) {
    const absl::Status bound = Bind(address);
    if (!bound.ok()) return bound;
    for (Listener& each : listeners_) Accept(each);
    thread_ = std::thread([this] { loop_.run(); });
    return absl::OkStatus();
  }

  int port() const override { return port_; }

 private:
  struct Listener {
    tcp::acceptor acceptor;
    asio::steady_timer pause;
  };

  absl::Status Bind(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    std::string host = address.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    error_code error;
    const auto found = tcp::resolver(loop_).resolve(host, colon == std::string::npos ? "" : address.substr(colon + 1),
                                                    tcp::resolver::passive, error);
    if (error) return CannotListen(address, error);
    for (const auto& each : found) {
      tcp::endpoint endpoint = each.endpoint();
      if (port_ != 0) endpoint.port(static_cast<std::uint16_t>(port_));
      tcp::acceptor acceptor(loop_);
      if (!acceptor.open(endpoint.protocol(), error)) {
        acceptor.set_option(tcp::acceptor::reuse_address(true));
        // "[::]" is every address of the host, of both families, but where another listener has the older one.
        if (endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(found.size() > 1));
        acceptor.bind(endpoint, error);
      }
      if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
      if (error) return CannotListen(address, error);
      port_ = acceptor.local_endpoint().port();
      listeners_.push_back({std::move(acceptor), asio::steady_timer(loop_)});
    }
    return absl::OkStatus();
  }

  static absl::Status CannotListen(const std::string& address, const error_code& error) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", address, ": ", error.message()));
  }

  void Accept(Listener& listener) {
    listener.acceptor.async_accept([this, &listener](error_code error, tcp::socket socket) {
      if (!error) {
        Begin(std::move(socket));
        return Accept(listener);
      }
      listener.pause.expires_after(kAcceptPause);
      listener.pause.async_wait([this, &listener](error_code) { Accept(listener); });
    });
  }

  void Begin(tcp::socket socket) {
    if (sessions_.size() >= kMaxConnections) {
      if (const std::shared_ptr<Session> oldest = sessions_.front().lock()) oldest->Close();
      // Its place is free at once, though it goes with its last operation.
      sessions_.pop_front();
    }
    const auto place = sessions_.insert(sessions_.end(), std::weak_ptr<Session>());
    auto session = std::make_shared<Session>(std::move(socket), respond_, [this] { Prune(); });
    *place = session;
    session->Read();
  }

  // Takes out the sessions that have ended.
  void Prune() {
    sessions_.remove_if([](const std::weak_ptr<Session>& each) { return each.expired(); });
  }

  Response RespondTo(const http::request<http::empty_body>& request) const {
    const std::string_view target(request.target().data(), request.target().size());
    const std::string_view path = target.substr(0, target.find('?'));
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      return Text(http::status::method_not_allowed, kTextType, "only GET and HEAD\n");
    }
    if (path == "/metrics") {
      return Text(http::status::ok, kMetricsType, prometheus::TextSerializer().Serialize(Collect()));
    }
    if (path == "/livez") return Text(http::status::ok, kTextType, "alive\n");
    if (path == "/readyz") {
      const absl::Status ready = ready_();
      return ready.ok() ? Text(http::status::ok, kTextType, "ready\n")
                        : Text(http::status::service_unavailable, kTextType, std::string(ready.message()) + "\n");
    }
    return Text(http::status::not_found, kTextType, "here are /metrics, /livez and /readyz\n");
  }

  std::vector<prometheus::MetricFamily> Collect() const {
    std::vector<prometheus::MetricFamily> families = registry_->Collect();
    std::vector<prometheus::MetricFamily> process = CollectProcessMetrics();
    std::move(process.begin(), process.end(), std::back_inserter(families));
    return families;
  }

  static Response Text(http::status status, const char* type, std::string body) {
    Response response(status, 11);
    response.set(http::field::content_type, type);
    response.set(http::field::cache_control, "no-store");
    response.body() = std::move(body);
    return response;
  }

  const std::shared_ptr<prometheus::Registry> registry_;
  const std::function<absl::Status()> ready_;
  const Session::Respond respond_ = [this](const auto& request) { return RespondTo(request); };
  std::list<std::weak_ptr<Session>>
      sessions_;  // The oldest first. On the loop's thread alone; outlives the loop's work.
  asio::io_context loop_{1};
  std::list<Listener> listeners_;
  int port_ = 0;
  std::thread thread_;
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
