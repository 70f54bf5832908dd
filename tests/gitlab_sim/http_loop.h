// An HTTP/1.1 server on one thread: keep-alive, thousands of connections, and replies that may come late, torn or not
// at all. Knows nothing of GitLab.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "tests/gitlab_sim/types.h"

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace tokenbroker::gitlab_sim {

// The one reply to one request. Exactly one of its methods is called, once, on the loop's thread.
class Reply {
 public:
  virtual ~Reply() = default;
  // Sends; the body spread over `body_time`.
  virtual void Send(HttpResponse response, std::chrono::milliseconds body_time) = 0;
  void Send(HttpResponse response) { Send(std::move(response), std::chrono::milliseconds(0)); }
  // Sends the head and half of the body, then closes.
  virtual void SendTorn(HttpResponse response) = 0;
  // Sends it, and then all of it once more.
  virtual void SendTwice(HttpResponse response) = 0;
  virtual void Close() = 0;
  virtual void Reset() = 0;  // SO_LINGER 0: the peer sees a TCP reset.
};

class HttpLoop {
 public:
  using Handler = std::function<void(HttpRequest request, std::shared_ptr<Reply> reply)>;

  HttpLoop();
  ~HttpLoop();  // Stops, joins, closes all connections; what waits is dropped.
  HttpLoop(const HttpLoop&) = delete;
  HttpLoop& operator=(const HttpLoop&) = delete;

  // Binds 127.0.0.1:port (0: any free one) and gives the port; 0 if that failed. Before Start().
  uint16_t Listen(uint16_t port, Handler handler);
  void Start();
  void Stop();

  // On the loop's thread, after a delay.
  void After(std::chrono::milliseconds delay, std::function<void()> action);
  // On the loop's thread, now: inside the call if that is the caller's.
  void Dispatch(std::function<void()> action);
  int open_connections() const;
  boost::asio::io_context& io();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tokenbroker::gitlab_sim
