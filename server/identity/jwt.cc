#include "server/identity/jwt.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/identity/base64url.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kMostBytes = std::size_t{16} << 10;
constexpr std::size_t kLongestKeyId = 256;
constexpr std::size_t kLongestSubject = 2048;
constexpr std::size_t kMostClaims = 256;
constexpr std::size_t kMostElements = 1024;  // Of all lists together.
constexpr std::size_t kMostShown = 80;
constexpr std::int64_t kLatestSecond = 253'402'300'799;  // The end of the year 9999.

// Headers that name or bring a key, or that change how the rest is read: `crit` makes any extension one that must be
// understood, and none is.
constexpr std::array<const char*, 6> kRefusedHeaders = {"jku", "jwk", "x5u", "x5c", "crit", "b64"};

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char each) { return each < 0x20 || each == 0x7f; });
}

absl::Status Malformed(std::string_view words) { return RefuseToken("MALFORMED", words); }
absl::Status Header(std::string_view words) { return RefuseToken("HEADER_REFUSED", words); }
absl::Status Claims(std::string_view words) { return RefuseToken("CLAIMS_INVALID", words); }

// Media types have no case, and "application/" may be left out (RFC 7515, 4.1.9). An access token of RFC 9068 is one.
bool IsTypeOfToken(std::string type) {
  constexpr std::string_view kPrefix = "application/";
  std::transform(type.begin(), type.end(), type.begin(),
                 [](char each) { return each >= 'A' && each <= 'Z' ? static_cast<char>(each - 'A' + 'a') : each; });
  if (type.starts_with(kPrefix)) type.erase(0, kPrefix.size());
  return type == "jwt" || type == "at+jwt";
}

// A NumericDate; only whole seconds are taken, up to the year 9999.
std::optional<WallTime> TimeOf(const json_t* value) {
  if (!json_is_integer(value)) return std::nullopt;
  const std::int64_t second = json_integer_value(value);
  if (second <= 0 || second > kLatestSecond) return std::nullopt;
  return WallTime(seconds(second));
}

absl::Status CheckAudience(const json_t* payload, const std::vector<std::string>& ours) {
  const json_t* const audience = json_object_get(payload, "aud");
  std::vector<std::string> theirs;
  if (json_is_string(audience)) {
    theirs.push_back(TextOf(audience));
  } else if (json_is_array(audience)) {
    for (std::size_t at = 0; at < json_array_size(audience); ++at) {
      const json_t* const each = json_array_get(audience, at);
      if (!json_is_string(each)) return Claims("'aud' has something that is no text");
      theirs.push_back(TextOf(each));
    }
  } else {
    return Claims("'aud' is neither a text nor a list of texts");
  }
  const bool one = std::any_of(theirs.begin(), theirs.end(), [&](const std::string& each) {
    return std::find(ours.begin(), ours.end(), each) != ours.end();
  });
  if (one) return absl::OkStatus();
  return RefuseToken("AUDIENCE_WRONG", theirs.empty() ? "it has none" : "it is for " + Shown(theirs.front()));
}

absl::Status CheckTimes(const json_t* payload, Duration skew, WallTime now) {
  const std::optional<WallTime> end = TimeOf(json_object_get(payload, "exp"));
  if (!end.has_value()) return Claims("'exp' is missing or no time in whole seconds");
  if (now >= *end + skew) return RefuseToken("EXPIRED", "it ended at " + FormatRfc3339(*end));
  for (const char* const name : {"nbf", "iat"}) {
    const json_t* const value = json_object_get(payload, name);
    if (value == nullptr) continue;
    const std::optional<WallTime> begin = TimeOf(value);
    if (!begin.has_value()) return Claims("'" + std::string(name) + "' is no time in whole seconds");
    if (now + skew < *begin) {
      return RefuseToken("NOT_YET_VALID", "'" + std::string(name) + "' is " + FormatRfc3339(*begin));
    }
  }
  return absl::OkStatus();
}

// A value that a policy can compare.
std::optional<std::string> ScalarOf(const json_t* value) {
  if (json_is_string(value)) return TextOf(value);
  if (json_is_integer(value)) return std::to_string(json_integer_value(value));
  if (json_is_boolean(value)) return json_is_true(value) ? "true" : "false";
  return std::nullopt;
}

// Puts the claims of `object` under their paths into `out`. False if there are too many, or two for one path: names may
// have slashes of their own.
bool Flatten(const std::string& prefix, json_t* object, BearerFacts& out) {
  for (void* at = json_object_iter(object); at != nullptr; at = json_object_iter_next(object, at)) {
    const std::string path = prefix + json_object_iter_key(at);
    json_t* const value = json_object_iter_value(at);
    if (json_is_object(value)) {
      if (!Flatten(path + "/", value, out)) return false;
      continue;
    }
    std::optional<std::string> text = ScalarOf(value);
    if (!text.has_value() && !json_is_array(value)) continue;
    if (out.claims.contains(path) || out.claim_lists.contains(path)) return false;
    if (text.has_value()) {
      out.claims.emplace(path, *std::move(text));
    } else {
      std::vector<std::string>& elements = out.claim_lists[path];
      for (std::size_t i = 0; i < json_array_size(value); ++i) {
        std::optional<std::string> element = ScalarOf(json_array_get(value, i));
        if (element.has_value()) elements.push_back(*std::move(element));
      }
    }
    if (out.claims.size() + out.claim_lists.size() > kMostClaims) return false;
  }
  return true;
}

bool HasTooManyElements(const BearerFacts& facts) {
  std::size_t elements = 0;
  for (const auto& [name, list] : facts.claim_lists) elements += list.size();
  return elements > kMostElements;
}

}  // namespace

absl::Status RefuseToken(std::string_view fault, std::string_view words) {
  return Error(absl::StatusCode::kUnauthenticated, "TOKEN_INVALID", std::string(fault) + ": " + std::string(words));
}

std::string FaultOf(const absl::Status& refusal) {
  const std::string message(refusal.message());
  return message.substr(0, message.find(':'));
}

std::string Shown(std::string_view text) {
  std::string shown(text.substr(0, kMostShown));
  std::replace_if(
      shown.begin(), shown.end(), [](char each) { return each < ' ' || each > '~'; }, '?');
  return "'" + shown + (text.size() > kMostShown ? "...'" : "'");
}

absl::StatusOr<Jwt> Jwt::Parse(std::string_view token) {
  if (token.size() > kMostBytes) return Malformed("it has more than 16 KiB");
  const std::size_t first = token.find('.');
  const std::size_t second = first == token.npos ? token.npos : token.find('.', first + 1);
  if (second == token.npos) return Malformed("it has fewer than three parts");
  if (token.find('.', second + 1) != token.npos) return Malformed("it has more than three parts, as encrypted ones do");
  const std::optional<std::string> header = DecodeBase64Url(token.substr(0, first));
  const std::optional<std::string> payload = DecodeBase64Url(token.substr(first + 1, second - first - 1));
  const std::optional<std::string> signature = DecodeBase64Url(token.substr(second + 1));
  if (!header.has_value() || !payload.has_value() || !signature.has_value()) {
    return Malformed("a part of it is not base64url in its one spelling");
  }

  Jwt jwt;
  jwt.compact_ = token;
  const Json header_json = ParseStrictJson(*header);
  if (header_json == nullptr) return Malformed("its header is not one JSON object in one reading");
  const absl::Status read = jwt.ReadHeader(header_json.get());
  if (!read.ok()) return read;
  jwt.payload_ = ParseStrictJson(*payload);
  if (jwt.payload_ == nullptr) return Malformed("its payload is not one JSON object in one reading");
  std::optional<std::string> issuer = TextOf(jwt.payload_.get(), "iss");
  if (!issuer.has_value()) return Claims("'iss' is missing or no text");
  jwt.issuer_ = *std::move(issuer);
  return jwt;
}

absl::Status Jwt::ReadHeader(const json_t* header) {
  for (const char* const name : kRefusedHeaders) {
    if (json_object_get(header, name) != nullptr) return Header("it has '" + std::string(name) + "'");
  }
  if (json_object_get(header, "typ") != nullptr && !IsTypeOfToken(TextOf(header, "typ").value_or(""))) {
    return Header("it is another type of token: " + Shown(TextOf(header, "typ").value_or("")));
  }
  const std::string algorithm = TextOf(header, "alg").value_or("");
  const std::optional<JwtAlgorithm> known = ParseJwtAlgorithm(algorithm);
  if (!known.has_value()) return RefuseToken("ALGORITHM_REFUSED", Shown(algorithm));
  algorithm_ = *known;
  key_id_ = TextOf(header, "kid").value_or("");
  if (key_id_.empty() || key_id_.size() > kLongestKeyId) return Header("'kid' is missing, no text, or too long");
  return absl::OkStatus();
}

absl::StatusOr<BearerFacts> Jwt::Verify(const VerificationKey& key, const JwtRules& rules, WallTime now) const {
  if (issuer_ != rules.issuer) return RefuseToken("ISSUER_UNKNOWN", Shown(issuer_));
  if (!key.Fits(algorithm_)) return RefuseToken("KEY_MISMATCH", Shown(key_id_));
  if (!key.Verifies(compact_)) return RefuseToken("SIGNATURE_WRONG", "by key " + Shown(key_id_));

  if (const absl::Status audience = CheckAudience(payload_.get(), rules.audiences); !audience.ok()) return audience;
  if (const absl::Status times = CheckTimes(payload_.get(), rules.skew, now); !times.ok()) return times;
  BearerFacts facts;
  facts.issuer = issuer_;
  facts.subject = TextOf(payload_.get(), "sub").value_or("");
  if (facts.subject.empty() || facts.subject.size() > kLongestSubject || HasControl(facts.subject)) {
    return Claims("'sub' is missing, empty, too long, or has a control character");
  }
  if (!Flatten("", payload_.get(), facts)) return Claims("more than 256 claims, or two under one path");
  if (HasTooManyElements(facts)) return Claims("more than 1024 elements in lists");
  facts.claims.erase("iss");
  facts.claims.erase("sub");
  return facts;
}

}  // namespace tokenbroker
