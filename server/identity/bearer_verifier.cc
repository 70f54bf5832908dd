#include "server/identity/bearer_verifier.h"

#include <algorithm>
#include <utility>

#include "server/base/error.h"
#include "server/identity/file_keys.h"
#include "server/identity/issuer_keys.h"

namespace tokenbroker {
namespace {

class JwtVerifier final : public BearerVerifier {
 public:
  struct Issuer {
    JwtRules rules;
    std::unique_ptr<KeySource> keys;
  };

  JwtVerifier(std::vector<Issuer> issuers, Metrics& metrics) : metrics_(metrics), issuers_(std::move(issuers)) {}

  absl::StatusOr<BearerFacts> Verify(std::string_view token, WallTime now) override {
    absl::StatusOr<BearerFacts> facts = Judge(token, now);
    if (!facts.ok()) metrics_.JwtRefused(FaultOf(facts.status()));
    return facts;
  }

 private:
  absl::StatusOr<BearerFacts> Judge(std::string_view token, WallTime now) {
    const absl::StatusOr<Jwt> jwt = Jwt::Parse(token);
    if (!jwt.ok()) return jwt.status();
    const auto issuer = std::find_if(issuers_.begin(), issuers_.end(),
                                     [&](const Issuer& each) { return each.rules.issuer == jwt->issuer(); });
    if (issuer == issuers_.end()) return RefuseToken("ISSUER_UNKNOWN", Shown(jwt->issuer()));
    const std::shared_ptr<const KeySet> keys = issuer->keys->Current();
    if (keys == nullptr) return RefuseToken("KEYS_MISSING", "no keys of " + Shown(jwt->issuer()) + " could be had yet");
    const VerificationKey* const key = keys->Find(jwt->key_id(), jwt->algorithm());
    if (key != nullptr) return jwt->Verify(*key, issuer->rules, now);
    if (keys->Knows(jwt->key_id())) return RefuseToken("KEY_MISMATCH", Shown(jwt->key_id()));
    issuer->keys->Want();
    return RefuseToken("KEY_UNKNOWN", Shown(jwt->key_id()));
  }

  Metrics& metrics_;
  const std::vector<Issuer> issuers_;
};

JwtVerifier::Issuer WithFetcher(IssuerWithFetcher issuer, Clock& clock, Random& random, Metrics& metrics, Log& log) {
  const std::string name = issuer.rules.issuer;
  return {std::move(issuer.rules),
          std::make_unique<IssuerKeys>(name, issuer.refresh, std::move(issuer.fetcher), clock, random, metrics, log)};
}

}  // namespace

absl::Status CheckKeyFile(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadWatchedFile(path);
  if (!text.ok()) return text.status();
  const absl::Status read = KeySet::Parse(*text).status();
  if (read.ok()) return read;
  return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID", path + ": " + std::string(read.message()));
}

std::unique_ptr<BearerVerifier> MakeBearerVerifier(std::vector<IssuerWithFetcher> issuers, Clock& clock, Random& random,
                                                   Metrics& metrics, Log& log) {
  std::vector<JwtVerifier::Issuer> all;
  for (IssuerWithFetcher& each : issuers) all.push_back(WithFetcher(std::move(each), clock, random, metrics, log));
  return std::make_unique<JwtVerifier>(std::move(all), metrics);
}

std::unique_ptr<BearerVerifier> OpenBearerVerifier(std::vector<TrustedIssuer> issuers, Clock& clock, Random& random,
                                                   Metrics& metrics, Log& log) {
  std::vector<JwtVerifier::Issuer> all;
  for (TrustedIssuer& each : issuers) {
    const std::string name = each.rules.issuer;
    if (each.key_file.empty()) {
      all.push_back(
          WithFetcher({std::move(each.rules), each.refresh, MakeDiscoveryKeyFetcher(std::move(each.discovery))}, clock,
                      random, metrics, log));
    } else {
      all.push_back(
          {std::move(each.rules), std::make_unique<FileKeys>(name, std::move(each.key_file), clock, metrics, log)});
    }
  }
  return std::make_unique<JwtVerifier>(std::move(all), metrics);
}

}  // namespace tokenbroker
