#pragma once
// Addresses and URLs: syntax alone, nothing is looked up.

#include <string_view>

namespace tokenbroker {

// "host:port": a host name, an IPv4 address or a bracketed IPv6 address, and a port from 0 to 65535.
bool IsHostPort(std::string_view text);

// Whether a host (without port; IPv6 in brackets) is this machine: 127.0.0.0/8, ::1 or localhost.
bool IsLoopback(std::string_view host);

// What is wrong with a server's URL, in words that do not repeat it; empty if nothing. Good are
// "https://host[:port][/path]", and "http://..." on loopback.
std::string_view UrlProblem(std::string_view url);

// "http://host:port" or "http://host:port/".
bool IsProxyUrl(std::string_view url);

}  // namespace tokenbroker
