#pragma once
// One JWT (RFC 7519) in compact form, read strictly and verified offline. Pure: no clock, no file, no network.
//
// Every refusal is UNAUTHENTICATED, reason TOKEN_INVALID. Its message is for the operator's log: a fault of the list
// below, ": ", and what was found, with texts of the token cut short and without control characters. Neither the token
// nor its signature is in it.
//
//   MALFORMED          not three parts of strict base64url, or header or payload not strict JSON; over 16 KiB
//   HEADER_REFUSED     a header that brings a key or an extension along; another type of token; no `kid`
//   ALGORITHM_REFUSED  not RS256, PS256 or ES256
//   ISSUER_UNKNOWN     `iss` is none of the configuration
//   KEYS_MISSING       no keys of the issuer are known yet
//   KEY_UNKNOWN        the issuer's keys have none with this `kid`
//   KEY_MISMATCH       they have, but for another algorithm
//   SIGNATURE_WRONG
//   AUDIENCE_WRONG     `aud` has none of ours
//   EXPIRED            `exp`
//   NOT_YET_VALID      `nbf` or `iat`
//   CLAIMS_INVALID     a claim is missing or not of its kind

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/identity/bearer.h"
#include "server/identity/key_set.h"
#include "server/identity/strict_json.h"

namespace tokenbroker {

// What a token of one issuer must say.
struct JwtRules {
  std::string issuer;                  // `iss`, byte for byte.
  std::vector<std::string> audiences;  // `aud` must have one of them.
  Duration skew = seconds(60);         // How far the issuer's clock may be from ours.
};

absl::Status RefuseToken(std::string_view fault, std::string_view words);
// The fault of a refusal.
std::string FaultOf(const absl::Status& refusal);
// A text of a token as a refusal may show it: in quotes, printable ASCII, at most 80 characters.
std::string Shown(std::string_view text);

// A token that was read. Until Verify nothing of it is proven: issuer and key id serve to find the key.
class Jwt {
 public:
  // `token` must outlive the result.
  static absl::StatusOr<Jwt> Parse(std::string_view token);

  const std::string& issuer() const { return issuer_; }
  const std::string& key_id() const { return key_id_; }
  JwtAlgorithm algorithm() const { return algorithm_; }

  // What it says, if `key` signed it and it keeps the rules at `now`. The key must fit the algorithm.
  absl::StatusOr<BearerFacts> Verify(const VerificationKey& key, const JwtRules& rules, WallTime now) const;

 private:
  absl::Status ReadHeader(const json_t* header);

  std::string_view compact_;
  JwtAlgorithm algorithm_ = JwtAlgorithm::kRs256;
  std::string key_id_;
  std::string issuer_;
  Json payload_;
};

}  // namespace tokenbroker
