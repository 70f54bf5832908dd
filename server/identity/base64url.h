#pragma once
// Base64url as JOSE writes it (RFC 7515, section 2), with one spelling for each content.

#include <optional>
#include <string>
#include <string_view>

namespace tokenbroker {

// The bytes; nothing if the text has padding, blanks or another character outside the alphabet, a length that no
// content has, or bits behind the last byte that are not zero.
std::optional<std::string> DecodeBase64Url(std::string_view text);

}  // namespace tokenbroker
