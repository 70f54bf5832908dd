#pragma once
// Addresses to listen on, as the configuration has them.

#include <netdb.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace tokenbroker {

using ListenAddresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

// Every address of "host:port"; the host is a name or an address, an IPv6 one in brackets. UNAVAILABLE with the address
// and the cause if it is none. May wait for DNS.
absl::StatusOr<ListenAddresses> ResolveListenAddress(const std::string& address);

}  // namespace tokenbroker
