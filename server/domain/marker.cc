#include "server/domain/marker.h"

#include <algorithm>

namespace tokenbroker {

bool IsBrokerName(std::string_view name) {
  return name.size() >= 2 && name.size() <= 12 &&
         std::all_of(name.begin(), name.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); });
}

std::string MarkerOf(std::string_view broker, const TokenId& id) {
  return std::string(kMarkerStem) + std::string(broker) + ':' + id + ']';
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

}  // namespace tokenbroker
