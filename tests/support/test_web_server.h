#pragma once
// Testonly: a web server on a free port of 127.0.0.1, over TLS or in plain, that answers GET with what the test says.
// One request per connection, each on a thread of its own.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/test_certificates.h"

struct ssl_ctx_st;

namespace tokenbroker {

class TestWebServer {
 public:
  struct Request {
    std::string path;
    std::string authorization;  // Of that header; empty: there was none.
  };
  struct Answer {
    int status = 200;
    std::string body;
    std::string headers;  // More of them, each with its line's end.
  };
  // Called on the connection's thread, where it may block; see WaitForTheEnd.
  using Handler = std::function<Answer(const TestWebServer& server, const Request& request)>;

  // Null `certificate`: plain HTTP. Whatever fails ends the process.
  TestWebServer(const TestCertificate* certificate, Handler handler);
  ~TestWebServer();
  TestWebServer(const TestWebServer&) = delete;
  TestWebServer& operator=(const TestWebServer&) = delete;

  // "https://127.0.0.1:12345"
  const std::string& url() const { return url_; }
  // How many requests came so far.
  int requests() const { return requests_; }
  // For a handler that never answers: blocks until the server is destroyed.
  void WaitForTheEnd() const { stopping_.wait(false); }

 private:
  void Run();
  void Serve(int connection);

  const Handler handler_;
  ssl_ctx_st* context_ = nullptr;
  std::string url_;
  int listener_ = -1;
  std::atomic<int> requests_ = 0;
  std::atomic<bool> stopping_ = false;
  std::vector<std::thread> connections_;  // Of the acceptor's thread, until it ended.
  std::thread acceptor_;
};

}  // namespace tokenbroker
