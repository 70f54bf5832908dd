#pragma once
// An issuer's public keys (JWKS, RFC 7517), checked, and the one place where signatures are: cjose is known to this
// file's implementation alone.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

struct _cjose_jwk_int;  // NOLINT(bugprone-reserved-identifier): cjose's own name for it

namespace tokenbroker {

// The signatures that are taken: RSA with PKCS #1 v1.5 or PSS padding, ECDSA on P-256; all over SHA-256.
enum class JwtAlgorithm { kRs256, kPs256, kEs256 };

// By its name in the header `alg`, which is case-sensitive.
std::optional<JwtAlgorithm> ParseJwtAlgorithm(std::string_view name);

// One public key. Movable; const methods may run on several threads at once.
class VerificationKey {
 public:
  // Of RSA: modulus and exponent, big-endian. Nothing unless it has 2048 to 8192 bits and a sane exponent.
  static std::optional<VerificationKey> Rsa(std::string id, std::string modulus, std::string exponent);
  // Of P-256: coordinates of 32 bytes each. Nothing unless the point is on the curve.
  static std::optional<VerificationKey> P256(std::string id, std::string x, std::string y);

  const std::string& id() const { return id_; }
  // Narrows it to what the key itself says (`alg`).
  void OnlyFor(JwtAlgorithm algorithm) { only_ = algorithm; }
  bool Fits(JwtAlgorithm algorithm) const;

  // Whether it made the signature of a compact JWS. The caller has checked that every part is strict base64url, and
  // that the header's algorithm fits. Leaves OpenSSL's error queue empty, which gRPC's TLS on the same thread looks at.
  bool Verifies(std::string_view compact) const;

 private:
  struct Release {
    void operator()(_cjose_jwk_int* key) const;
  };
  using Handle = std::unique_ptr<_cjose_jwk_int, Release>;

  VerificationKey(std::string id, bool rsa, std::size_t signature_bytes, Handle handle);

  std::string id_;
  bool rsa_ = false;
  std::size_t signature_bytes_ = 0;
  std::optional<JwtAlgorithm> only_;
  Handle handle_;
};

class KeySet {
 public:
  static constexpr std::size_t kMostBytes = std::size_t{256} << 10;
  static constexpr std::size_t kMostKeys = 100;

  // Reads a JWKS text. A key that cannot be used is skipped: without a `kid`, of another type or curve, symmetric or
  // private, too short, for another use or algorithm than ours. INVALID_ARGUMENT, reason KEYS_UNUSABLE, if the text is
  // no key set, exceeds the bounds above, or if no key is left.
  static absl::StatusOr<KeySet> Parse(std::string_view text);

  // The key of this id that fits, or null.
  const VerificationKey* Find(std::string_view id, JwtAlgorithm algorithm) const;
  // Whether there is any key of this id.
  bool Knows(std::string_view id) const;

  std::size_t size() const { return keys_.size(); }
  std::size_t skipped() const { return skipped_; }

 private:
  std::vector<VerificationKey> keys_;
  std::size_t skipped_ = 0;
};

}  // namespace tokenbroker
