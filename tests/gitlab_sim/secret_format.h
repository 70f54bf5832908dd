// The text of an access token, in the generations that GitLab has had.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace tokenbroker::gitlab_sim {

// prefix + 20 characters (up to 17.x).
std::string LegacyToken(const std::string& prefix, const std::function<uint64_t()>& random);

struct Routing {
  int64_t organization = 1;
  int64_t user = 0;
  std::optional<int64_t> cell{};
};

// prefix + base64url(routing, 16 random bytes, 0x10) + "." + [version + "."] + length + CRC. (GitLab source: the
// routable token generator; the version segment came with 18.x.)
std::string RoutableToken(const std::string& prefix, const Routing& routing, const std::array<uint8_t, 16>& random,
                          const std::string& version);

}  // namespace tokenbroker::gitlab_sim
