#include "server/rpc/connection_door.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/listen_address.h"

namespace tokenbroker {
namespace {

constexpr int kBacklog = 1024;

absl::Status CannotListen(const std::string& address, const char* why) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", address, ": ", why));
}

void SetPort(sockaddr* address, int port) {
  const auto value = htons(static_cast<std::uint16_t>(port));
  if (address->sa_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = value;
  } else {
    reinterpret_cast<sockaddr_in*>(address)->sin_port = value;
  }
}

int PortOf(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

// Without the port.
std::string AddressOf(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  const void* const bytes = address.ss_family == AF_INET6
                                ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr)
                                : static_cast<const void*>(&reinterpret_cast<const sockaddr_in&>(address).sin_addr);
  return inet_ntop(address.ss_family, bytes, text, sizeof text) == nullptr ? "" : text;
}

// True if the peer has not sent a byte since it connected.
bool HasSaidNothing(int descriptor) {
  tcp_info info{};
  socklen_t size = sizeof info;
  return getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_bytes_received == 0;
}

bool Watch(int epoll, int descriptor, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = descriptor;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ConnectionDoor>> ConnectionDoor::Open(const std::string& address, int max_connections) {
  std::unique_ptr<ConnectionDoor> door(new ConnectionDoor(max_connections));
  const absl::Status listening = door->Listen(address);
  if (!listening.ok()) return listening;
  return door;
}

absl::Status ConnectionDoor::Listen(const std::string& address) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (epoll_ < 0 || wake_ < 0 || !Watch(epoll_, wake_, EPOLLIN)) return CannotListen(address, std::strerror(errno));

  const absl::StatusOr<ListenAddresses> all = ResolveListenAddress(address);
  if (!all.ok()) return all.status();
  for (const addrinfo* each = all->get(); each != nullptr; each = each->ai_next) {
    if (port_ != 0) SetPort(each->ai_addr, port_);
    const int listener = socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0) return CannotListen(address, std::strerror(errno));
    listeners_.push_back(listener);
    // Accepted connections inherit the second; without it, small answers would wait for acknowledgements.
    const int on = 1;
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(listener, each->ai_addr, each->ai_addrlen) != 0 || listen(listener, kBacklog) != 0 ||
        !Watch(epoll_, listener, EPOLLIN)) {
      return CannotListen(address, std::strerror(errno));
    }
    port_ = PortOf(listener);
  }
  return absl::OkStatus();
}

void ConnectionDoor::Start(Take take, TooMany too_many) {
  take_ = std::move(take);
  too_many_ = std::move(too_many);
  thread_ = std::thread([this] { Run(); });
}

void ConnectionDoor::Run() {
  while (true) {
    std::array<epoll_event, 64> events;
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
    bool has_new = false;
    for (int i = 0; i < count; ++i) {
      const int descriptor = events[i].data.fd;
      if (descriptor == wake_) return;
      const bool has_ended = ending_.erase(descriptor) > 0 || std::erase_if(watched_, [&](const Watched& each) {
                                                                return each.descriptor == descriptor;
                                                              }) > 0;
      if (has_ended) {
        close(descriptor);
      } else {
        has_new = true;
      }
    }
    // After all that has ended.
    if (!has_new) continue;
    for (const int listener : listeners_) AcceptFrom(listener);
  }
}

void ConnectionDoor::AcceptFrom(int listener) {
  // Some at a time, so that what ends meanwhile is seen.
  for (int i = 0; i < 64; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    const int connection = accept4(listener, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0) {
      if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
      // Nothing can be accepted until something has ended: give others the time for it.
      usleep(10'000);
      return;
    }
    if (static_cast<int>(watched_.size()) >= max_connections_) EndOne();
    const int watched = fcntl(connection, F_DUPFD_CLOEXEC, 0);
    // Ends alone are of interest, and are always told.
    if (watched < 0 || !Watch(epoll_, watched, 0)) {
      if (watched >= 0) close(watched);
      close(connection);
      continue;
    }
    watched_.push_back({watched, AddressOf(peer)});
    take_(listener, connection, watched_.back().peer);
  }
}

void ConnectionDoor::EndOne() {
  auto victim = std::find_if(watched_.begin(), watched_.end(),
                             [](const Watched& each) { return HasSaidNothing(each.descriptor); });
  if (victim == watched_.end()) {
    std::map<std::string, int> counts;
    for (const Watched& each : watched_) ++counts[each.peer];
    victim = std::max_element(watched_.begin(), watched_.end(), [&counts](const Watched& one, const Watched& other) {
      return counts[one.peer] < counts[other.peer];  // The first of the greatest: the oldest.
    });
  }
  // Its owner closes it: until then its second descriptor is kept.
  shutdown(victim->descriptor, SHUT_RDWR);
  ending_.insert(victim->descriptor);
  const std::string peer = std::move(victim->peer);
  watched_.erase(victim);
  too_many_(peer);
}

void ConnectionDoor::Close() {
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    (void)!write(wake_, &one, sizeof one);
    thread_.join();
  }
  for (const int listener : listeners_) close(listener);
  listeners_.clear();
}

void ConnectionDoor::EndConnections() {
  for (const Watched& each : watched_) shutdown(each.descriptor, SHUT_RDWR);
}

ConnectionDoor::~ConnectionDoor() {
  Close();
  for (const Watched& each : watched_) close(each.descriptor);
  for (const int each : ending_) close(each);
  if (wake_ >= 0) close(wake_);
  if (epoll_ >= 0) close(epoll_);
}

}  // namespace tokenbroker
