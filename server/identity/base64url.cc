#include "server/identity/base64url.h"

#include <cstdint>

namespace tokenbroker {
namespace {

// -1 for what is not of the alphabet.
int ValueOf(char each) {
  if (each >= 'A' && each <= 'Z') return each - 'A';
  if (each >= 'a' && each <= 'z') return each - 'a' + 26;
  if (each >= '0' && each <= '9') return each - '0' + 52;
  if (each == '-') return 62;
  if (each == '_') return 63;
  return -1;
}

}  // namespace

std::optional<std::string> DecodeBase64Url(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  std::uint32_t held = 0;
  int bits = 0;
  for (const char each : text) {
    const int value = ValueOf(each);
    if (value < 0) return std::nullopt;
    held = held << 6 | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>(held >> bits & 0xff);
    held &= (1U << bits) - 1;
  }
  // A last group of one character has six bits that make no byte.
  if (bits == 6 || held != 0) return std::nullopt;
  return bytes;
}

}  // namespace tokenbroker
