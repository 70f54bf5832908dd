#pragma once
// The listening sockets. gRPC 1.51 accepts as many connections as come; so they are accepted here, counted, and handed
// over to it.

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

namespace tokenbroker {

class ConnectionDoor {
 public:
  // Takes what was accepted; `peer` is its address, without the port.
  using Take = absl::AnyInvocable<void(int listener, int connection, const std::string& peer)>;
  using TooMany = absl::AnyInvocable<void(const std::string& peer)>;

  // Binds every address of "host:port"; with port 0 one free port for all. UNAVAILABLE, with address and cause, if that
  // cannot be: a port is never shared with another process.
  static absl::StatusOr<std::unique_ptr<ConnectionDoor>> Open(const std::string& address, int max_connections);
  ~ConnectionDoor();
  ConnectionDoor(const ConnectionDoor&) = delete;
  ConnectionDoor& operator=(const ConnectionDoor&) = delete;

  int port() const { return port_; }

  // Accepts from now on, on a thread of its own that calls `take`. A connection over the bound takes the place of
  // another one, and `too_many` is called with the address of the peer whose connection is ended: of the oldest one
  // that has not sent a byte, else of the oldest one of the address that has most. Both must not wait.
  void Start(Take take, TooMany too_many);
  // Accepts no more; what was accepted goes on. Waits for the thread.
  void Close();
  // After Close: ends every connection.
  void EndConnections();

 private:
  explicit ConnectionDoor(int max_connections) : max_connections_(max_connections) {}

  absl::Status Listen(const std::string& address);
  void Run();
  void AcceptFrom(int listener);
  // Ends one connection for another.
  void EndOne();

  const int max_connections_;
  int port_ = 0;
  int epoll_ = -1;
  int wake_ = -1;
  std::vector<int> listeners_;
  // A second descriptor of each connection. It says when the first one's owner has shut the connection down, and with
  // that it goes.
  struct Watched {
    int descriptor = -1;
    std::string peer;  // Its address, without the port.
  };
  std::vector<Watched> watched_;    // In the order of their arrival.
  std::unordered_set<int> ending_;  // Those that EndOne has shut down.
  Take take_;
  TooMany too_many_;
  std::thread thread_;
};

}  // namespace tokenbroker
