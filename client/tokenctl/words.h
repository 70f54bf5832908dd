#pragma once
// The API's enumerations and numbers as words, and back.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tokenbroker/v1/token.pb.h"

namespace tokenbroker::tokenctl {

std::string StateWord(const v1::Token& token);     // "ACTIVE", "REVOKED (REQUESTED)"
std::string TargetWord(const v1::Target& target);  // "user:42", "gitlab2/project:acme/payments": as a filter takes it
std::string AccessLevelWord(std::int32_t level);   // "30 (developer)"

// "developer", "security-manager", "30"; nothing for any other word. Numbers are not judged here.
std::optional<std::int32_t> ParseAccessLevel(std::string_view text);

}  // namespace tokenbroker::tokenctl
