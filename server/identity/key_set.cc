#include "server/identity/key_set.h"

#include <cjose/cjose.h>
#include <openssl/err.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "server/base/error.h"
#include "server/identity/base64url.h"
#include "server/identity/strict_json.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kFewestRsaBits = 2048;
constexpr std::size_t kMostRsaBits = 8192;
constexpr std::size_t kMostExponentBytes = 4;
constexpr std::size_t kP256Bytes = 32;
constexpr std::size_t kLongestId = 256;

std::uint8_t* Bytes(std::string& text) { return reinterpret_cast<std::uint8_t*>(text.data()); }

void DropLeadingZeros(std::string& number) { number.erase(0, std::min(number.find_first_not_of('\0'), number.size())); }

bool IsOdd(const std::string& number) { return !number.empty() && (number.back() & 1) != 0; }

std::optional<std::string> BytesOf(const json_t* key, const char* name) {
  const std::optional<std::string> text = TextOf(key, name);
  return text.has_value() ? DecodeBase64Url(*text) : std::nullopt;
}

// Whether the key's own words, where it has them, allow it to verify signatures.
bool IsForSignatures(const json_t* key) {
  const json_t* const use = json_object_get(key, "use");
  if (use != nullptr && TextOf(key, "use") != "sig") return false;
  const json_t* const operations = json_object_get(key, "key_ops");
  if (operations == nullptr) return true;
  for (std::size_t at = 0; at < json_array_size(operations); ++at) {
    const json_t* const each = json_array_get(operations, at);
    if (json_is_string(each) && TextOf(each) == "verify") return true;
  }
  return false;
}

std::optional<VerificationKey> ParseKey(const json_t* key) {
  const std::optional<std::string> id = TextOf(key, "kid");
  if (!id.has_value() || id->empty() || id->size() > kLongestId || !IsForSignatures(key)) return std::nullopt;
  // Whoever publishes a private key has lost it. RSA and EC both call it "d".
  if (json_object_get(key, "d") != nullptr) return std::nullopt;

  std::optional<VerificationKey> made;
  const std::optional<std::string> type = TextOf(key, "kty");
  if (type == "RSA") {
    std::optional<std::string> modulus = BytesOf(key, "n");
    std::optional<std::string> exponent = BytesOf(key, "e");
    if (!modulus.has_value() || !exponent.has_value()) return std::nullopt;
    made = VerificationKey::Rsa(*id, *std::move(modulus), *std::move(exponent));
  } else if (type == "EC" && TextOf(key, "crv") == "P-256") {
    std::optional<std::string> x = BytesOf(key, "x");
    std::optional<std::string> y = BytesOf(key, "y");
    if (!x.has_value() || !y.has_value()) return std::nullopt;
    made = VerificationKey::P256(*id, *std::move(x), *std::move(y));
  }
  if (!made.has_value() || json_object_get(key, "alg") == nullptr) return made;
  const std::optional<JwtAlgorithm> algorithm = ParseJwtAlgorithm(TextOf(key, "alg").value_or(""));
  if (!algorithm.has_value() || !made->Fits(*algorithm)) return std::nullopt;
  made->OnlyFor(*algorithm);
  return made;
}

absl::Status Unusable(std::string_view why) { return Error(absl::StatusCode::kInvalidArgument, "KEYS_UNUSABLE", why); }

}  // namespace

std::optional<JwtAlgorithm> ParseJwtAlgorithm(std::string_view name) {
  if (name == "RS256") return JwtAlgorithm::kRs256;
  if (name == "PS256") return JwtAlgorithm::kPs256;
  if (name == "ES256") return JwtAlgorithm::kEs256;
  return std::nullopt;
}

void VerificationKey::Release::operator()(_cjose_jwk_int* key) const { cjose_jwk_release(key); }

VerificationKey::VerificationKey(std::string id, bool rsa, std::size_t signature_bytes, Handle handle)
    : id_(std::move(id)), rsa_(rsa), signature_bytes_(signature_bytes), handle_(std::move(handle)) {}

std::optional<VerificationKey> VerificationKey::Rsa(std::string id, std::string modulus, std::string exponent) {
  DropLeadingZeros(modulus);
  DropLeadingZeros(exponent);
  if (!IsOdd(modulus) || !IsOdd(exponent) || exponent == "\x01" || exponent.size() > kMostExponentBytes) {
    return std::nullopt;
  }
  const std::size_t bits = modulus.size() * 8 - std::countl_zero(static_cast<std::uint8_t>(modulus.front()));
  if (bits < kFewestRsaBits || bits > kMostRsaBits) return std::nullopt;
  cjose_jwk_rsa_keyspec spec{};
  spec.n = Bytes(modulus);
  spec.nlen = modulus.size();
  spec.e = Bytes(exponent);
  spec.elen = exponent.size();
  cjose_err error{};
  Handle handle(cjose_jwk_create_RSA_spec(&spec, &error));
  ERR_clear_error();
  if (handle == nullptr) return std::nullopt;
  return VerificationKey(std::move(id), true, modulus.size(), std::move(handle));
}

std::optional<VerificationKey> VerificationKey::P256(std::string id, std::string x, std::string y) {
  if (x.size() != kP256Bytes || y.size() != kP256Bytes) return std::nullopt;
  cjose_jwk_ec_keyspec spec{};
  spec.crv = CJOSE_JWK_EC_P_256;
  spec.x = Bytes(x);
  spec.xlen = x.size();
  spec.y = Bytes(y);
  spec.ylen = y.size();
  cjose_err error{};
  Handle handle(cjose_jwk_create_EC_spec(&spec, &error));
  ERR_clear_error();
  if (handle == nullptr) return std::nullopt;
  return VerificationKey(std::move(id), false, 2 * kP256Bytes, std::move(handle));
}

bool VerificationKey::Fits(JwtAlgorithm algorithm) const {
  return rsa_ == (algorithm != JwtAlgorithm::kEs256) && only_.value_or(algorithm) == algorithm;
}

bool VerificationKey::Verifies(std::string_view compact) const {
  // cjose takes a shorter number for one with zeros in front.
  const std::size_t signature = compact.size() - compact.rfind('.') - 1;
  if (signature * 3 / 4 != signature_bytes_) return false;
  cjose_err error{};
  cjose_jws_t* const jws = cjose_jws_import(compact.data(), compact.size(), &error);
  const bool good = jws != nullptr && cjose_jws_verify(jws, handle_.get(), &error);
  cjose_jws_release(jws);
  ERR_clear_error();
  return good;
}

absl::StatusOr<KeySet> KeySet::Parse(std::string_view text) {
  if (text.size() > kMostBytes) return Unusable("the key set has more than 256 KiB");
  const Json json = ParseStrictJson(text);
  const json_t* const list = json == nullptr ? nullptr : json_object_get(json.get(), "keys");
  if (!json_is_array(list)) return Unusable("it is no key set: not one JSON object with a list 'keys'");
  const std::size_t count = json_array_size(list);
  if (count > kMostKeys) return Unusable("the key set has more than 100 keys");

  KeySet set;
  for (std::size_t at = 0; at < count; ++at) {
    const json_t* const each = json_array_get(list, at);
    std::optional<VerificationKey> key = json_is_object(each) ? ParseKey(each) : std::nullopt;
    if (key.has_value()) set.keys_.push_back(*std::move(key));
  }
  set.skipped_ = count - set.keys_.size();
  if (set.keys_.empty()) {
    return Unusable(count == 0 ? "the key set is empty" : "none of the key set's keys can be used");
  }
  return set;
}

const VerificationKey* KeySet::Find(std::string_view id, JwtAlgorithm algorithm) const {
  const auto found = std::find_if(keys_.begin(), keys_.end(),
                                  [&](const VerificationKey& key) { return key.id() == id && key.Fits(algorithm); });
  return found == keys_.end() ? nullptr : &*found;
}

bool KeySet::Knows(std::string_view id) const {
  return std::any_of(keys_.begin(), keys_.end(), [&](const VerificationKey& key) { return key.id() == id; });
}

}  // namespace tokenbroker
