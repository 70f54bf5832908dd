#include "tests/support/test_web_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <string_view>
#include <utility>

#include "tests/support/openssl.h"

namespace tokenbroker {
namespace {

constexpr int kLookEveryMs = 50;  // Whether to stop.
constexpr std::size_t kMostRequestBytes = 64 << 10;

using Memory = std::unique_ptr<BIO, Free<BIO_free_all>>;

SSL_CTX* ContextOf(const TestCertificate& certificate) {
  SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
  Require(context != nullptr, "SSL_CTX_new");
  const Memory chain(BIO_new_mem_buf(certificate.certificate_pem.data(), -1));
  X509* const leaf = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr);
  const Memory secret(BIO_new_mem_buf(certificate.key_pem.data(), -1));
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(secret.get(), nullptr, nullptr, nullptr);
  Require(SSL_CTX_use_certificate(context, leaf) == 1 && SSL_CTX_use_PrivateKey(context, key) == 1, "the certificate");
  X509_free(leaf);
  EVP_PKEY_free(key);
  return context;
}

// One connection, with or without TLS.
class Connection {
 public:
  Connection(int socket, SSL_CTX* context) : socket_(socket), ssl_(context == nullptr ? nullptr : SSL_new(context)) {
    if (ssl_ != nullptr) SSL_set_fd(ssl_, socket_);
  }
  ~Connection() {
    if (ssl_ != nullptr) SSL_shutdown(ssl_);
    SSL_free(ssl_);
    close(socket_);
    ERR_clear_error();
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool Accept() { return ssl_ == nullptr || SSL_accept(ssl_) == 1; }
  // The head of a request; empty if none came.
  std::string ReadHead() {
    std::string head;
    std::array<char, 4096> piece{};
    while (head.find("\r\n\r\n") == std::string::npos && head.size() < kMostRequestBytes) {
      const auto size = static_cast<int>(piece.size());
      const ssize_t got =
          ssl_ == nullptr ? recv(socket_, piece.data(), piece.size(), 0) : SSL_read(ssl_, piece.data(), size);
      if (got <= 0) return "";
      head.append(piece.data(), static_cast<std::size_t>(got));
    }
    return head;
  }
  void Write(const std::string& text) {
    if (ssl_ != nullptr) {
      SSL_write(ssl_, text.data(), static_cast<int>(text.size()));
      return;
    }
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t sent = send(socket_, text.data() + at, text.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) return;
      at += static_cast<std::size_t>(sent);
    }
  }

 private:
  const int socket_;
  SSL* const ssl_;
};

TestWebServer::Request ParseHead(const std::string& head) {
  TestWebServer::Request request;
  const std::size_t path = head.find(' ') + 1;
  request.path = head.substr(path, head.find(' ', path) - path);
  constexpr std::string_view kAuthorization = "\r\nAuthorization: ";
  if (const std::size_t at = head.find(kAuthorization); at != std::string::npos) {
    const std::size_t begin = at + kAuthorization.size();
    request.authorization = head.substr(begin, head.find("\r\n", begin) - begin);
  }
  return request;
}

}  // namespace

TestWebServer::TestWebServer(const TestCertificate* certificate, Handler handler)
    : handler_(std::move(handler)), context_(certificate == nullptr ? nullptr : ContextOf(*certificate)) {
  signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to sockets that the client has closed.
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  Require(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 && listen(listener_, 64) == 0 &&
              getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0,
          "listening");
  url_ =
      std::string(context_ == nullptr ? "http" : "https") + "://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  acceptor_ = std::thread(&TestWebServer::Run, this);
}

TestWebServer::~TestWebServer() {
  stopping_ = true;
  stopping_.notify_all();
  acceptor_.join();
  for (std::thread& each : connections_) each.join();
  close(listener_);
  SSL_CTX_free(context_);
}

void TestWebServer::Run() {
  while (!stopping_) {
    pollfd wait = {listener_, POLLIN, 0};
    if (poll(&wait, 1, kLookEveryMs) <= 0) continue;
    const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection >= 0) connections_.emplace_back(&TestWebServer::Serve, this, connection);
  }
}

void TestWebServer::Serve(int socket) {
  const timeval patience = {5, 0};  // With a client that says nothing.
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  Connection connection(socket, context_);
  if (!connection.Accept()) return;
  const std::string head = connection.ReadHead();
  if (head.empty()) return;
  ++requests_;
  const Answer answer = handler_(*this, ParseHead(head));
  connection.Write("HTTP/1.1 " + std::to_string(answer.status) + " x\r\nConnection: close\r\nContent-Length: " +
                   std::to_string(answer.body.size()) + "\r\n" + answer.headers + "\r\n" + answer.body);
}

}  // namespace tokenbroker
