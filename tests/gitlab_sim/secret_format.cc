#include "tests/gitlab_sim/secret_format.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace tokenbroker::gitlab_sim {
namespace {

constexpr std::string_view kBase64Url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string Base36(uint64_t value, size_t width) {
  std::string out;
  for (; value > 0; value /= 36) out += "0123456789abcdefghijklmnopqrstuvwxyz"[value % 36];
  while (out.size() < width) out += '0';
  std::reverse(out.begin(), out.end());
  return out;
}

std::string Base64UrlNoPadding(const std::string& bytes) {
  std::string out;
  uint32_t buffer = 0;
  int bits = 0;
  for (const char c : bytes) {
    buffer = (buffer << 8U) | static_cast<unsigned char>(c);
    bits += 8;
    while (bits >= 6) {
      bits -= 6;
      out += kBase64Url[(buffer >> static_cast<unsigned>(bits)) & 63U];
    }
  }
  if (bits > 0) out += kBase64Url[(buffer << static_cast<unsigned>(6 - bits)) & 63U];
  return out;
}

uint32_t Crc32(const std::string& text) {
  uint32_t crc = 0xFFFFFFFFU;
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? (crc >> 1U) ^ 0xEDB88320U : crc >> 1U;
  }
  return ~crc;
}

}  // namespace

std::string LegacyToken(const std::string& prefix, const std::function<uint64_t()>& random) {
  std::string out = prefix;
  for (int i = 0; i < 20; ++i) out += kBase64Url[random() % kBase64Url.size()];
  return out;
}

std::string RoutableToken(const std::string& prefix, const Routing& routing, const std::array<uint8_t, 16>& random,
                          const std::string& version) {
  std::string payload;
  if (routing.cell) payload += "c:" + Base36(static_cast<uint64_t>(*routing.cell), 1) + "\n";
  payload += "o:" + Base36(static_cast<uint64_t>(routing.organization), 1);
  payload += "\nu:" + Base36(static_cast<uint64_t>(routing.user), 1);
  for (const uint8_t byte : random) payload += static_cast<char>(byte);
  payload += '\x10';
  const std::string encoded = Base64UrlNoPadding(payload);
  std::string out = prefix + encoded + ".";
  if (!version.empty()) out += version + ".";
  out += Base36(encoded.size(), 2);
  return out + Base36(Crc32(out), 7);
}

}  // namespace tokenbroker::gitlab_sim
