#include "server/broker/page_token.h"

#include <openssl/evp.h>

#include <charconv>
#include <memory>

#include "absl/strings/escaping.h"

namespace tokenbroker {
namespace {

// AES-256-GCM: nonce, ciphertext, tag.
constexpr int kNonce = 12;
constexpr int kTag = 16;
constexpr std::size_t kLongest = 256;

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

unsigned char* Bytes(std::string& text, std::size_t at = 0) {
  return reinterpret_cast<unsigned char*>(text.data()) + at;
}
const unsigned char* Bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

}  // namespace

PageTokens::PageTokens(Random& random) : random_(random) { random_.Fill(key_); }

std::string PageTokens::Seal(const ListPosition& place, std::string_view context) {
  const std::string plain = std::to_string(MicrosOf(place.time)) + '.' + place.id;
  std::string sealed(kNonce + plain.size() + kTag, '\0');
  random_.Fill({Bytes(sealed), kNonce});
  const Cipher cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int size = 0;
  EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key_.data(), Bytes(sealed));
  EVP_EncryptUpdate(cipher.get(), nullptr, &size, Bytes(context), static_cast<int>(context.size()));
  EVP_EncryptUpdate(cipher.get(), Bytes(sealed, kNonce), &size, Bytes(plain), static_cast<int>(plain.size()));
  EVP_EncryptFinal_ex(cipher.get(), Bytes(sealed, kNonce + plain.size()), &size);
  EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTag, Bytes(sealed, kNonce + plain.size()));
  std::string token;
  absl::WebSafeBase64Escape(sealed, &token);
  return token;
}

std::optional<ListPosition> PageTokens::Open(std::string_view token, std::string_view context) const {
  std::string sealed;
  if (token.size() > kLongest || !absl::WebSafeBase64Unescape({token.data(), token.size()}, &sealed))
    return std::nullopt;
  // The last character has bits that say nothing: one place has one spelling.
  std::string spelled;
  absl::WebSafeBase64Escape(sealed, &spelled);
  if (sealed.size() <= kNonce + kTag || spelled != token) return std::nullopt;
  std::string plain(sealed.size() - kNonce - kTag, '\0');
  const Cipher cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int size = 0;
  EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key_.data(), Bytes(sealed));
  EVP_DecryptUpdate(cipher.get(), nullptr, &size, Bytes(context), static_cast<int>(context.size()));
  EVP_DecryptUpdate(cipher.get(), Bytes(plain), &size, Bytes(sealed, kNonce), static_cast<int>(plain.size()));
  EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTag, Bytes(sealed, kNonce + plain.size()));
  if (EVP_DecryptFinal_ex(cipher.get(), Bytes(plain), &size) != 1) return std::nullopt;
  std::int64_t micros = 0;
  const char* const end = plain.data() + plain.size();
  const auto [dot, error] = std::from_chars(plain.data(), end, micros);
  if (error != std::errc() || dot == end || *dot != '.') return std::nullopt;
  return ListPosition{FromMicros(micros), TokenId(dot + 1, end)};
}

}  // namespace tokenbroker
