#include "server/base/net_text.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string>

#include "absl/strings/ascii.h"

namespace tokenbroker {
namespace {

bool IsAlnum(char each) { return absl::ascii_isalnum(static_cast<unsigned char>(each)); }
bool IsDigit(char each) { return absl::ascii_isdigit(static_cast<unsigned char>(each)); }

// The address's bytes in network order; false if the text is none.
template <std::size_t kSize>
bool ParseAddress(int family, std::string_view text, std::array<std::uint8_t, kSize>* out) {
  return inet_pton(family, std::string(text).c_str(), out->data()) == 1;
}

bool IsHost(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    std::array<std::uint8_t, 16> address{};
    return ParseAddress(AF_INET6, host.substr(1, host.size() - 2), &address);
  }
  if (host.empty() || host.size() > 253 || !IsAlnum(host.front()) || !IsAlnum(host.back())) return false;
  if (!std::all_of(host.begin(), host.end(), [](char each) { return IsAlnum(each) || each == '-' || each == '.'; })) {
    return false;
  }
  if (host.find("..") != host.npos) return false;
  // "0x7f.1" and "2130706433" are addresses to some readers: a last label of digits makes it one, written in full.
  const std::string_view last = host.substr(host.rfind('.') + 1);
  const bool numeric = IsDigit(last.front()) && (std::all_of(last.begin(), last.end(), IsDigit) ||
                                                 last.starts_with("0x") || last.starts_with("0X"));
  std::array<std::uint8_t, 4> address{};
  return !numeric || ParseAddress(AF_INET, host, &address);
}

bool IsPort(std::string_view text, int lowest) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return !text.empty() && text.size() <= 5 && std::all_of(text.begin(), text.end(), IsDigit) && error == std::errc() &&
         end == text.data() + text.size() && port >= lowest && port <= 65535;
}

// Cuts "host[:port]" in two; the port is empty if there is none.
struct Authority {
  std::string_view host, port;
  bool has_port = false;
};
Authority Split(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const std::size_t bracket = text.rfind(']');
  if (colon == text.npos || (bracket != text.npos && colon < bracket)) return {text, {}, false};
  return {text.substr(0, colon), text.substr(colon + 1), true};
}

}  // namespace

bool IsHostPort(std::string_view text) {
  const Authority parts = Split(text);
  return parts.has_port && IsHost(parts.host) && IsPort(parts.port, 0);
}

bool IsLoopback(std::string_view host) {
  if (host == "localhost") return true;
  std::array<std::uint8_t, 4> four{};
  if (ParseAddress(AF_INET, host, &four)) return four[0] == 127;
  std::array<std::uint8_t, 16> six{};
  constexpr std::array<std::uint8_t, 16> kOne = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return host.size() > 2 && host.front() == '[' && host.back() == ']' &&
         ParseAddress(AF_INET6, host.substr(1, host.size() - 2), &six) && six == kOne;
}

std::string_view UrlProblem(std::string_view url) {
  const bool plain = url.starts_with("http://");
  if (!plain && !url.starts_with("https://")) return "no known scheme";
  std::string_view rest = url.substr(plain ? 7 : 8);
  if (rest.find('@') != rest.npos) return "a user has no place in it";
  if (rest.find('?') != rest.npos) return "a query has no place in it";
  if (rest.find('#') != rest.npos) return "a fragment has no place in it";
  const std::size_t slash = rest.find('/');
  const Authority parts = Split(rest.substr(0, slash));
  if (!IsHost(parts.host) || (parts.has_port && !IsPort(parts.port, 1))) return "no host, or a malformed one";
  if (plain && !IsLoopback(parts.host)) return "plain http to another machine";
  const std::string_view path = slash == rest.npos ? std::string_view() : rest.substr(slash);
  const auto fits = [](char each) {
    return IsAlnum(each) || std::string_view("/-._~").find(each) != std::string_view::npos;
  };
  // "." and ".." as segments lead elsewhere; "/.well-known" does not.
  const std::string closed = std::string(path) + "/";
  if (!std::all_of(path.begin(), path.end(), fits) || path.find("//") != path.npos ||
      closed.find("/./") != closed.npos || closed.find("/../") != closed.npos) {
    return "a malformed path";
  }
  return {};
}

bool IsProxyUrl(std::string_view url) {
  if (!url.starts_with("http://")) return false;
  url.remove_prefix(7);
  if (url.ends_with('/')) url.remove_suffix(1);
  const Authority parts = Split(url);
  return parts.has_port && IsHost(parts.host) && IsPort(parts.port, 1);
}

}  // namespace tokenbroker
