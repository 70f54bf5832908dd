#include "server/base/random.h"

#include <openssl/rand.h>

#include <array>
#include <cstdlib>

namespace tokenbroker {

void SystemRandom::Fill(std::span<std::uint8_t> bytes) {
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) std::abort();
}

std::string MakeSortableId(WallTime now, Random& random) {
  constexpr char kAlphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
  std::array<std::uint8_t, 16> bytes{};
  const auto millis = static_cast<std::uint64_t>(MicrosOf(now) / 1000);
  for (int i = 0; i < 6; ++i) bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(millis >> (40 - 8 * i));
  random.Fill(std::span(bytes).subspan(6));
  // 128 bits in 26 digits of 5: the first digit holds 3.
  std::string id(26, '0');
  unsigned buffer = 0;
  int bits = 2;  // Two leading zero bits make 130.
  std::size_t out = 0;
  for (const std::uint8_t byte : bytes) {
    buffer = buffer << 8 | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      id[out++] = kAlphabet[buffer >> bits & 31];
    }
    buffer &= (1U << bits) - 1;
  }
  return id;
}

std::string MakeUuid4(Random& random) {
  std::array<std::uint8_t, 16> bytes{};
  random.Fill(bytes);
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3f) | 0x80);
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kHex[bytes[i] >> 4];
    text += kHex[bytes[i] & 15];
  }
  return text;
}

}  // namespace tokenbroker
