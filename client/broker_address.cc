#include "client/broker_address.h"

#include <algorithm>
#include <charconv>

#include "server/base/net_text.h"

namespace tokenbroker {
namespace {

constexpr char kPortRule[] = "the port must be a decimal number from 1 to 65535";

bool IsDigit(char each) { return each >= '0' && each <= '9'; }
bool IsZoneCharacter(char each) {
  return IsDigit(each) || (each >= 'a' && each <= 'z') || (each >= 'A' && each <= 'Z') || each == '-' || each == '_' ||
         each == '.';
}

bool IsPort(std::string_view text) {
  unsigned port = 0;
  if (text.empty() || text.size() > 5 || !std::all_of(text.begin(), text.end(), IsDigit)) return false;
  std::from_chars(text.data(), text.data() + text.size(), port);
  return port >= 1 && port <= 65535;
}

// The host without what a client may write beside the syntax of our configuration: an IPv6 zone, underscores in a name
// (Docker Compose makes such names), the dot at the end of an absolute name. Empty if a zone is malformed.
std::string Simplify(std::string_view host) {
  std::string simple(host);
  if (simple.starts_with('[')) {
    const std::size_t zone = simple.find('%');
    if (zone == std::string::npos || !simple.ends_with(']')) return simple;
    const std::string_view name = std::string_view(simple).substr(zone + 1, simple.size() - zone - 2);
    if (name.empty() || !std::all_of(name.begin(), name.end(), IsZoneCharacter)) return "";
    return simple.substr(0, zone) + "]";
  }
  if (simple.size() > 1 && simple.ends_with('.')) simple.pop_back();
  std::replace(simple.begin(), simple.end(), '_', 'x');
  return simple;
}

}  // namespace

std::string BrokenAddressRule(std::string_view address) {
  const auto is_blank_or_control = [](unsigned char each) { return each <= ' ' || each == 0x7f; };
  if (std::any_of(address.begin(), address.end(), is_blank_or_control)) {
    return "blanks, line ends and control characters are not allowed";
  }
  if (address.find('/') != address.npos)
    return "it is written host:port, without http:// or https:// and without a path";
  const std::size_t colon = address.rfind(':');
  if (colon == address.npos || address.ends_with(']')) return "the port is missing: it is written host:port";
  const std::string_view host = address.substr(0, colon);
  if (!host.starts_with('[') && host.find(':') != host.npos) {
    return "an IPv6 address is written in brackets: [2001:db8::1]:8443";
  }
  if (!IsPort(address.substr(colon + 1))) return kPortRule;
  if (!IsHostPort(Simplify(host) + ":1")) {
    return "the host must be a name, an IPv4 address or an IPv6 address in brackets";
  }
  return "";
}

}  // namespace tokenbroker
