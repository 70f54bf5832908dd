#include "server/domain/marker.h"

#include <algorithm>
#include <charconv>

namespace tokenbroker {

bool IsBrokerName(std::string_view name) {
  return name.size() >= 2 && name.size() <= 12 &&
         std::all_of(name.begin(), name.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); });
}

std::string MarkerOf(std::string_view broker, const TokenId& id) { return MarkerStemOf(broker) + id + ']'; }

std::string MarkerStemOf(std::string_view broker) { return std::string(kMarkerStem) + std::string(broker) + ':'; }

std::optional<TokenId> IdInMarker(std::string_view upstream_name, std::string_view broker) {
  const std::string stem = MarkerStemOf(broker);
  const std::size_t at = upstream_name.rfind(stem);
  if (at == std::string_view::npos || !upstream_name.ends_with(']')) return std::nullopt;
  std::string_view id = upstream_name.substr(at + stem.size());
  id.remove_suffix(1);
  return ParseResourceName("tokens/" + std::string(id));
}

std::string DisplayNameIn(std::string_view upstream_name) {
  const std::size_t at = upstream_name.rfind(' ' + std::string(kMarkerStem));
  return std::string(upstream_name.substr(0, at));
}

std::string UpstreamNameOf(std::string_view display_name, std::string_view broker, const TokenId& id) {
  return std::string(display_name) + ' ' + MarkerOf(broker, id);
}

bool EndsInMarker(std::string_view upstream_name, std::string_view marker) {
  return !marker.empty() && upstream_name.ends_with(marker);
}

std::string UpstreamDescriptionOf(std::string_view caller, WallTime expire_time, std::string_view purpose) {
  std::string text = "by=" + std::string(caller) + " exp=" + std::to_string(MicrosOf(expire_time) / 1'000'000);
  if (!purpose.empty()) text += ' ' + std::string(purpose);
  return text;  // 64 + 20 + 120 characters at most, by the bounds of its parts.
}

std::optional<UpstreamDescription> ParseUpstreamDescription(std::string_view text) {
  constexpr std::string_view kBy = "by=";
  constexpr std::string_view kExp = " exp=";
  const std::size_t exp = text.find(kExp);
  if (!text.starts_with(kBy) || exp == std::string_view::npos) return std::nullopt;
  UpstreamDescription told;
  told.caller = text.substr(kBy.size(), exp - kBy.size());
  if (told.caller.empty() || told.caller.find(' ') != std::string::npos) return std::nullopt;
  const std::string_view rest = text.substr(exp + kExp.size());
  std::int64_t unix_seconds = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), unix_seconds);
  constexpr std::int64_t kLast = 253'402'300'799;  // The year 9999.
  if (error != std::errc() || unix_seconds < 0 || unix_seconds > kLast) return std::nullopt;
  told.expire_time = FromMicros(unix_seconds * 1'000'000);
  const auto used = static_cast<std::size_t>(end - rest.data());
  if (used == rest.size()) return told;
  if (rest[used] != ' ') return std::nullopt;
  told.purpose = rest.substr(used + 1);
  return told;
}

}  // namespace tokenbroker
