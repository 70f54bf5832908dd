#include "tests/gitlab_sim/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "tests/gitlab_sim/params.h"

namespace tokenbroker::gitlab_sim {
namespace {

// Reads the head; gives the length of the body that it announces.
size_t ParseHead(const std::string& head, RawReply* reply) {
  size_t at = head.find("\r\n");
  reply->status = std::atoi(head.substr(head.find(' ') + 1, 3).c_str());
  while (at != std::string::npos && at + 2 < head.size()) {
    const size_t start = at + 2;
    at = head.find("\r\n", start);
    const std::string line = head.substr(start, at == std::string::npos ? std::string::npos : at - start);
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) reply->headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  const std::string length = FindHeader(reply->headers, "Content-Length").value_or("0");
  return std::strtoul(length.c_str(), nullptr, 10);
}

}  // namespace

RawClient::RawClient(uint16_t port) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): what the socket interface asks for.
  if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    close(fd_);
    fd_ = -1;
  }
}

RawClient::~RawClient() {
  if (fd_ >= 0) close(fd_);
}

RawReply RawClient::Send(const std::string& method, const std::string& target, const Headers& headers,
                         const std::string& body) {
  std::string out = method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
  for (const auto& [name, value] : headers) out.append(name).append(": ").append(value).append("\r\n");
  if (!body.empty()) out += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  out += "\r\n" + body;
  RawReply reply;
  if (send(fd_, out.data(), out.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(out.size())) {
    reply.end = RawReply::End::kReset;
    return reply;
  }
  std::string in;
  std::array<char, 4096> buffer{};
  size_t head_end = std::string::npos;
  size_t length = 0;
  while (true) {
    if (head_end == std::string::npos) {
      head_end = in.find("\r\n\r\n");
      if (head_end != std::string::npos) length = ParseHead(in.substr(0, head_end), &reply);
    }
    if (head_end != std::string::npos) {
      reply.body = in.substr(head_end + 4);
      if (reply.body.size() >= length) return reply;
    }
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), 0);
    if (got <= 0) {
      const bool timeout = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
      reply.end = got == 0 ? RawReply::End::kClosed : (timeout ? RawReply::End::kTimeout : RawReply::End::kReset);
      return reply;
    }
    in.append(buffer.data(), static_cast<size_t>(got));
  }
}

uint16_t PortOf(const std::string& url) {
  return static_cast<uint16_t>(std::strtoul(url.c_str() + url.rfind(':') + 1, nullptr, 10));
}

}  // namespace tokenbroker::gitlab_sim
