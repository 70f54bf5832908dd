#pragma once
// The broker's address as a client is given it: syntax only, nothing is resolved.

#include <string>
#include <string_view>

namespace tokenbroker {

// The rule that `address` breaks, as the end of a sentence; empty if it is valid. Valid is "host:port" with a port from
// 1 to 65535; the host is a name, an IPv4 address, or an IPv6 address in brackets, which may have a zone
// ("[fe80::1%eth0]:8443"). gRPC would take the remainder of a larger port, or a scheme (unix:, dns:), for something to
// connect to.
std::string BrokenAddressRule(std::string_view address);

}  // namespace tokenbroker
