#include "server/base/listen_address.h"

#include "absl/strings/str_cat.h"

namespace tokenbroker {

absl::StatusOr<ListenAddresses> ResolveListenAddress(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int resolved = getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (resolved == 0) return ListenAddresses(found, &freeaddrinfo);
  return absl::UnavailableError(absl::StrCat("cannot listen on ", address, ": ", gai_strerror(resolved)));
}

}  // namespace tokenbroker
