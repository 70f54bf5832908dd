#pragma once
// The mark by which the broker finds a token of its own at GitLab when an answer was lost. A token's name there is
// "<display name> [tb:<broker>:<id>]". A marker only helps to find: a token is identified by its upstream id, since a
// holder who rotates a token makes another one with the same name.

#include <optional>
#include <string>
#include <string_view>

#include "server/domain/token.h"

namespace tokenbroker {

// What no display name may contain.
inline constexpr std::string_view kMarkerStem = "[tb:";

// 2 to 12 characters of [a-z0-9].
bool IsBrokerName(std::string_view name);

// "[tb:<broker>:<id>]": one word without blanks, so that GitLab's search finds it as it stands.
std::string MarkerOf(std::string_view broker, const TokenId& id);
// The token's name at GitLab.
std::string UpstreamNameOf(std::string_view display_name, std::string_view broker, const TokenId& id);

// "[tb:<broker>:", what the markers of all of a broker's tokens begin with.
std::string MarkerStemOf(std::string_view broker);
// The id in the marker of this broker at the end of a name; nothing if there is none.
std::optional<TokenId> IdInMarker(std::string_view upstream_name, std::string_view broker);
// The name without the marker at its end.
std::string DisplayNameIn(std::string_view upstream_name);

// Whether a name at GitLab ends in exactly this marker.
bool EndsInMarker(std::string_view upstream_name, std::string_view marker);

// The description at GitLab: "by=<caller> exp=<unix seconds> <purpose>", at most 255 characters.
std::string UpstreamDescriptionOf(std::string_view caller, WallTime expire_time, std::string_view purpose);

// What such a description says; nothing if it is none.
struct UpstreamDescription {
  std::string caller;
  WallTime expire_time;
  std::string purpose;
};
std::optional<UpstreamDescription> ParseUpstreamDescription(std::string_view text);

}  // namespace tokenbroker
