#include "tests/gitlab_sim/http_loop.h"

#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tokenbroker::gitlab_sim {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr uint64_t kLargestBody = 256ULL << 20U;  // A pack that is pushed.
constexpr int kSlowParts = 10;

std::string Head(const HttpResponse& response, bool keep_alive) {
  const auto status = static_cast<http::status>(response.status);
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + " " + std::string(http::obsolete_reason(status));
  out += "\r\n";
  for (const auto& [name, value] : response.headers) {
    out += name;
    out += ": ";
    out += value;
    out += "\r\n";
  }
  if (response.status != 204 && response.status != 304) {
    out += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
  }
  return out + (keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
}

class Session : public Reply, public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, const HttpLoop::Handler* handler, std::atomic<int>* open)
      : socket_(std::move(socket)), timer_(socket_.get_executor()), handler_(handler), open_(open) {
    ++*open_;
  }
  ~Session() override { --*open_; }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void Read() {
    parser_.emplace();
    parser_->body_limit(kLargestBody);
    http::async_read_header(socket_, buffer_, *parser_, [self = shared_from_this()](error_code error, size_t) {
      if (!error) self->OnHeader();
    });
  }

  void Send(HttpResponse response, std::chrono::milliseconds body_time) override {
    if (head_request_) response.body.clear();
    if (body_time.count() == 0) {
      out_ = Head(response, keep_alive_) + response.body;
      Write([](Session& self) { self.Finish(); });
      return;
    }
    out_ = Head(response, keep_alive_);
    rest_ = std::move(response.body);
    part_ = std::max<size_t>(1, rest_.size() / kSlowParts);
    pause_ = body_time / kSlowParts;
    Write([](Session& self) { self.WriteSlowly(); });
  }

  void SendTorn(HttpResponse response) override {
    out_ = Head(response, keep_alive_) + response.body.substr(0, response.body.size() / 2);
    Write([](Session& self) { self.Close(); });
  }

  void SendTwice(HttpResponse response) override {
    const std::string once = Head(response, keep_alive_) + response.body;
    out_ = once + once;
    Write([](Session& self) { self.Finish(); });
  }

  void Close() override {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
    socket_.close(ignored);
  }

  void Reset() override {
    error_code ignored;
    socket_.set_option(asio::socket_base::linger(true, 0), ignored);
    socket_.close(ignored);
  }

 private:
  void OnHeader() {
    const auto expect = parser_->get().find(http::field::expect);
    if (expect == parser_->get().end()) {
      ReadBody();
      return;
    }
    out_ = "HTTP/1.1 100 Continue\r\n\r\n";
    Write([](Session& self) { self.ReadBody(); });
  }

  void ReadBody() {
    http::async_read(socket_, buffer_, *parser_, [self = shared_from_this()](error_code error, size_t) {
      if (!error) self->OnRequest();
    });
  }

  void OnRequest() {
    auto message = parser_->release();
    HttpRequest request;
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    for (const auto& field : message) {
      request.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
    }
    request.body = std::move(message.body());
    keep_alive_ = message.keep_alive();
    head_request_ = request.method == "HEAD";
    (*handler_)(std::move(request), shared_from_this());
  }

  void WriteSlowly() {
    if (rest_.empty()) {
      Finish();
      return;
    }
    timer_.expires_after(pause_);
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (error) return;
      self->out_ = self->rest_.substr(0, self->part_);
      self->rest_.erase(0, self->part_);
      self->Write([](Session& session) { session.WriteSlowly(); });
    });
  }

  void Write(void (*then)(Session& self)) {
    asio::async_write(socket_, asio::buffer(out_), [self = shared_from_this(), then](error_code error, size_t) {
      if (!error) then(*self);
    });
  }

  void Finish() {
    if (keep_alive_) {
      Read();
    } else {
      Close();
    }
  }

  tcp::socket socket_;
  asio::steady_timer timer_;
  const HttpLoop::Handler* handler_;
  std::atomic<int>* open_;
  boost::beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  bool keep_alive_ = true;
  bool head_request_ = false;
  std::string out_;   // What is being written.
  std::string rest_;  // What a slow body has left.
  size_t part_ = 0;
  std::chrono::milliseconds pause_{0};
};

// Accepts for one port.
class Listener {
 public:
  Listener(asio::io_context* io, HttpLoop::Handler handler, std::atomic<int>* open)
      : acceptor_(*io), retry_(*io), handler_(std::move(handler)), open_(open) {}

  uint16_t Bind(uint16_t port) {
    error_code error;
    const tcp::endpoint wanted(asio::ip::address_v4::loopback(), port);
    acceptor_.open(wanted.protocol(), error);
    acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    acceptor_.bind(wanted, error);
    if (error) return 0;
    acceptor_.listen(SOMAXCONN, error);
    if (error) return 0;
    Accept();
    return acceptor_.local_endpoint(error).port();
  }

 private:
  void Accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (error) {  // Out of file descriptors, most likely: others will be closed.
        retry_.expires_after(std::chrono::milliseconds(10));
        retry_.async_wait([this](error_code aborted) {
          if (!aborted) Accept();
        });
        return;
      }
      error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      std::make_shared<Session>(std::move(socket), &handler_, open_)->Read();
      Accept();
    });
  }

  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  HttpLoop::Handler handler_;
  std::atomic<int>* open_;
};

}  // namespace

class HttpLoop::Impl {
 public:
  std::atomic<int> open{0};  // Outlives the sessions, which die with `io`.
  asio::io_context io{1};
  std::vector<std::unique_ptr<Listener>> listeners;
  std::thread thread;
};

HttpLoop::HttpLoop() : impl_(std::make_unique<Impl>()) {}

HttpLoop::~HttpLoop() { Stop(); }

uint16_t HttpLoop::Listen(uint16_t port, Handler handler) {
  impl_->listeners.push_back(std::make_unique<Listener>(&impl_->io, std::move(handler), &impl_->open));
  return impl_->listeners.back()->Bind(port);
}

void HttpLoop::Start() {
  impl_->thread = std::thread([this] {
    // A child process that ends before it has read its input must not end us.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    const auto work = asio::make_work_guard(impl_->io);
    impl_->io.run();
  });
}

void HttpLoop::Stop() {
  impl_->io.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

void HttpLoop::After(std::chrono::milliseconds delay, std::function<void()> action) {
  auto timer = std::make_shared<asio::steady_timer>(impl_->io, delay);
  timer->async_wait([timer, action = std::move(action)](error_code error) {
    if (!error) action();
  });
}

void HttpLoop::Dispatch(std::function<void()> action) { asio::dispatch(impl_->io, std::move(action)); }

int HttpLoop::open_connections() const { return impl_->open; }

asio::io_context& HttpLoop::io() { return impl_->io; }

}  // namespace tokenbroker::gitlab_sim
