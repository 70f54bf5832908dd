#pragma once
// GitLab's JSON, read in place and tolerantly: unknown keys are passed over, keys that came or went between versions
// are optional. Each function gives nothing if the text is not what it should be.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/gitlab/gitlab.h"

namespace tokenbroker {

std::optional<UpstreamToken> ParseToken(std::string body);
std::optional<std::vector<UpstreamToken>> ParseTokens(std::string body);

// The answer to a create. The secret leaves `body` for the result; `body` is wiped, whatever happens.
std::optional<Minted> ParseMinted(std::string& body);

struct UpstreamProject {
  std::int64_t id = 0;
  std::string full_path;
};
std::optional<UpstreamProject> ParseProject(std::string body);

struct UpstreamUser {
  std::int64_t id = 0;
  std::string username;
  bool active = false;  // state "active", not locked.
  bool bot = false;     // These two are shown to administrators alone.
  bool is_admin = false;
};
std::optional<UpstreamUser> ParseUser(std::string body);
std::optional<std::vector<UpstreamUser>> ParseUsers(std::string body);

// GET /application/settings: the longest life of a token in days, if the instance sets one.
struct UpstreamSettings {
  std::optional<int> max_lifetime_days;
};
std::optional<UpstreamSettings> ParseSettings(std::string body);

// GET /metadata.
std::optional<std::string> ParseVersion(std::string body);

// What an error body says, from any of GitLab's shapes: error_description, else message (an object as text), else
// error. `invalid_token`: the error is that the credential itself is revoked or expired.
struct ErrorBody {
  std::string words;
  bool invalid_token = false;
};
std::optional<ErrorBody> ParseError(std::string body);

}  // namespace tokenbroker
