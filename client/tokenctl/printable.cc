#include "client/tokenctl/printable.h"

#include <cstdint>
#include <cstdio>

namespace tokenbroker::tokenctl {
namespace {

struct Decoded {
  char32_t point = 0;
  std::size_t size = 0;  // 0 if the text does not begin with a valid character.
};

// The first character of a text that is not empty; refuses overlong forms, surrogates and what lies above U+10FFFF.
Decoded DecodeFirst(std::string_view text) {
  const auto byte = [&text](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return {};
  char32_t point = lead & (0xff >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    point = point << 6 | (byte(i) & 0x3f);
  }
  const bool overlong = (size == 3 && point < 0x800) || (size == 4 && point < 0x10000);
  if (overlong || (point >= 0xd800 && point <= 0xdfff) || point > 0x10ffff) return {};
  return {point, size};
}

bool Dangerous(char32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x200e || point == 0x200f ||
         (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
}

std::string Escaped(char32_t point) {
  if (point == '\n') return "\\n";
  if (point == '\r') return "\\r";
  if (point == '\t') return "\\t";
  char text[8];
  std::snprintf(text, sizeof text, "\\u%04x", static_cast<unsigned>(point));
  return text;
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    const Decoded first = DecodeFirst(text);
    if (first.size == 0) {
      char byte[8];
      std::snprintf(byte, sizeof byte, "\\x%02x", static_cast<unsigned>(static_cast<std::uint8_t>(text[0])));
      safe += byte;
      text.remove_prefix(1);
      continue;
    }
    if (Dangerous(first.point)) {
      safe += Escaped(first.point);
    } else {
      safe += text.substr(0, first.size);
    }
    text.remove_prefix(first.size);
  }
  return safe;
}

}  // namespace tokenbroker::tokenctl
