#include "tests/support/test_issuer.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <array>
#include <cstdint>
#include <utility>

#include "tests/support/openssl.h"

namespace tokenbroker {
namespace {

using Pair = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Number = std::unique_ptr<BIGNUM, Free<BN_free>>;
using Memory = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Digest = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using Points = std::unique_ptr<ECDSA_SIG, Free<ECDSA_SIG_free>>;

const unsigned char* Bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

// `width` 0: as many bytes as it needs.
std::string BigEndian(const BIGNUM* number, int width = 0) {
  std::string bytes(static_cast<std::size_t>(width > 0 ? width : BN_num_bytes(number)), '\0');
  Require(BN_bn2binpad(number, Bytes(bytes), static_cast<int>(bytes.size())) >= 0, "writing a number");
  return bytes;
}

// A public number of the key, encoded.
std::string Parameter(const EVP_PKEY* key, const char* name, int width = 0) {
  BIGNUM* raw = nullptr;
  Require(EVP_PKEY_get_bn_param(key, name, &raw) == 1, name);
  const Number number(raw);
  return EncodeBase64Url(BigEndian(raw, width));
}

int CoordinateBytes(const EVP_PKEY* key) { return (EVP_PKEY_get_bits(key) + 7) / 8; }

// JWS has the two numbers side by side where OpenSSL has a DER sequence.
std::string SideBySide(const std::string& der, int width) {
  const unsigned char* at = Bytes(der);
  const Points points(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  Require(points != nullptr, "reading a signature");
  return BigEndian(ECDSA_SIG_get0_r(points.get()), width) + BigEndian(ECDSA_SIG_get0_s(points.get()), width);
}

std::string Quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

}  // namespace

std::string EncodeBase64Url(std::string_view bytes) {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  std::uint32_t held = 0;
  int bits = 0;
  for (const char each : bytes) {
    held = held << 8 | static_cast<unsigned char>(each);
    for (bits += 8; bits >= 6; bits -= 6) text += kAlphabet[held >> (bits - 6) & 63];
  }
  if (bits > 0) text += kAlphabet[held << (6 - bits) & 63];
  return text;
}

struct TestKey::State {
  Pair pair;
};

TestKey::TestKey(std::string id, bool rsa, std::shared_ptr<State> state)
    : id_(std::move(id)), rsa_(rsa), state_(std::move(state)) {}

TestKey TestKey::Rsa(std::string id, int bits) {
  auto state = std::make_shared<State>();
  state->pair.reset(EVP_RSA_gen(static_cast<unsigned>(bits)));
  Require(state->pair != nullptr, "making an RSA key");
  return {std::move(id), true, std::move(state)};
}

TestKey TestKey::Ec(std::string id, const char* curve) {
  auto state = std::make_shared<State>();
  state->pair.reset(EVP_EC_gen(curve));
  Require(state->pair != nullptr, "making an EC key");
  return {std::move(id), false, std::move(state)};
}

std::string TestKey::Jwk(std::string_view more) const {
  const EVP_PKEY* const key = state_->pair.get();
  std::string json = R"({"kid":)" + Quoted(id_);
  if (rsa_) {
    json += R"(,"kty":"RSA","n":)" + Quoted(Parameter(key, OSSL_PKEY_PARAM_RSA_N)) + R"(,"e":)" +
            Quoted(Parameter(key, OSSL_PKEY_PARAM_RSA_E));
  } else {
    const int width = CoordinateBytes(key);
    json += R"(,"kty":"EC","crv":)" + Quoted(width == 32 ? "P-256" : "P-384") + R"(,"x":)" +
            Quoted(Parameter(key, OSSL_PKEY_PARAM_EC_PUB_X, width)) + R"(,"y":)" +
            Quoted(Parameter(key, OSSL_PKEY_PARAM_EC_PUB_Y, width));
  }
  if (!more.empty()) json += "," + std::string(more);
  return json + "}";
}

std::string TestKey::PublicPem() const {
  const Memory memory(BIO_new(BIO_s_mem()));
  Require(PEM_write_bio_PUBKEY(memory.get(), state_->pair.get()) == 1, "writing a key");
  char* data = nullptr;
  const auto size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string TestKey::Sign(std::string_view algorithm, std::string_view text) const {
  const Digest digest(EVP_MD_CTX_new());
  EVP_PKEY_CTX* context = nullptr;
  Require(EVP_DigestSignInit(digest.get(), &context, EVP_sha256(), nullptr, state_->pair.get()) == 1, "signing");
  if (algorithm == "PS256") {
    Require(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) > 0 &&
                EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) > 0,
            "choosing PSS");
  }
  std::size_t size = 0;
  Require(EVP_DigestSign(digest.get(), nullptr, &size, Bytes(text), text.size()) == 1, "signing");
  std::string signature(size, '\0');
  Require(EVP_DigestSign(digest.get(), Bytes(signature), &size, Bytes(text), text.size()) == 1, "signing");
  signature.resize(size);
  return rsa_ ? signature : SideBySide(signature, CoordinateBytes(state_->pair.get()));
}

std::string KeySetJson(const std::vector<std::string>& jwks) {
  std::string list;
  for (const std::string& jwk : jwks) list += (list.empty() ? "" : ",") + jwk;
  return R"({"keys":[)" + list + "]}";
}

std::string Compact(std::string_view header, std::string_view payload, std::string_view signature) {
  return EncodeBase64Url(header) + "." + EncodeBase64Url(payload) + "." + EncodeBase64Url(signature);
}

std::string SignedToken(std::string_view header, std::string_view payload, const TestKey& key,
                        std::string_view algorithm) {
  const std::string text = EncodeBase64Url(header) + "." + EncodeBase64Url(payload);
  return text + "." + EncodeBase64Url(key.Sign(algorithm, text));
}

std::string HmacToken(std::string_view header, std::string_view payload, std::string_view secret) {
  const std::string text = EncodeBase64Url(header) + "." + EncodeBase64Url(payload);
  std::array<unsigned char, 32> mac{};
  unsigned size = 0;
  Require(HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), Bytes(text), text.size(), mac.data(),
               &size) != nullptr,
          "HMAC");
  return text + "." + EncodeBase64Url({reinterpret_cast<const char*>(mac.data()), size});
}

void TestIssuer::Rotate(TestKey key, bool alone) {
  if (alone) keys_.clear();
  keys_.push_back(std::move(key));
}

std::string TestIssuer::KeySet() const {
  std::vector<std::string> jwks;
  jwks.reserve(keys_.size());
  for (const TestKey& key : keys_) jwks.push_back(key.Jwk());
  return KeySetJson(jwks);
}

std::string TestIssuer::Discovery(std::string_view key_set_url) const {
  return R"({"issuer":)" + Quoted(name_) + R"(,"jwks_uri":)" + Quoted(key_set_url) +
         R"(,"response_types_supported":["id_token"],"id_token_signing_alg_values_supported":["RS256"]})";
}

std::string TestIssuer::Claims(std::string_view audience, std::string_view subject, WallTime now,
                               std::string_view more) const {
  const std::int64_t second = MicrosOf(now) / 1'000'000;
  return R"({"iss":)" + Quoted(name_) + R"(,"aud":)" + Quoted(audience) + R"(,"sub":)" + Quoted(subject) +
         R"(,"iat":)" + std::to_string(second - 60) + R"(,"nbf":)" + std::to_string(second - 60) + R"(,"exp":)" +
         std::to_string(second + 3600) + (more.empty() ? "" : "," + std::string(more)) + "}";
}

std::string TestIssuer::Token(std::string_view payload) const {
  const std::string header =
      R"({"typ":"JWT","alg":)" + Quoted(key().algorithm()) + R"(,"kid":)" + Quoted(key().id()) + "}";
  return SignedToken(header, payload, key(), key().algorithm());
}

}  // namespace tokenbroker
