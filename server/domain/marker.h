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

// Whether a name at GitLab ends in exactly this marker.
bool EndsInMarker(std::string_view upstream_name, std::string_view marker);

// The description at GitLab: "by=<caller> exp=<unix seconds> <purpose>", at most 255 characters.
std::string UpstreamDescriptionOf(std::string_view caller, WallTime expire_time, std::string_view purpose);

}  // namespace tokenbroker
