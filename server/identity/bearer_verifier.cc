#include "server/identity/bearer_verifier.h"

#include <algorithm>
#include <utility>

#include "server/base/error.h"
#include "server/base/file_text.h"
#include "server/identity/issuer_keys.h"

namespace tokenbroker {
namespace {

constexpr Duration kLookAtFilesEvery = seconds(5);

class JwtVerifier final : public BearerVerifier {
 public:
  JwtVerifier(std::vector<IssuerWithFetcher> issuers, Clock& clock, Random& random, Metrics& metrics, Log& log)
      : metrics_(metrics) {
    for (IssuerWithFetcher& each : issuers) {
      const std::string name = each.rules.issuer;
      issuers_.push_back(
          {std::move(each.rules),
           std::make_unique<IssuerKeys>(name, each.refresh, std::move(each.fetcher), clock, random, metrics, log)});
    }
  }

  absl::StatusOr<BearerFacts> Verify(std::string_view token, WallTime now) override {
    absl::StatusOr<BearerFacts> facts = Judge(token, now);
    if (!facts.ok()) metrics_.JwtRefused(FaultOf(facts.status()));
    return facts;
  }

 private:
  struct Issuer {
    JwtRules rules;
    std::unique_ptr<IssuerKeys> keys;
  };

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
  std::vector<Issuer> issuers_;
};

}  // namespace

absl::Status CheckKeyFile(const std::string& path) {
  const absl::StatusOr<FileText> file = ReadFileText(path);
  if (!file.ok()) return file.status();
  const absl::Status read = KeySet::Parse(file->text).status();
  if (read.ok()) return read;
  return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID", path + ": " + std::string(read.message()));
}

std::unique_ptr<BearerVerifier> MakeBearerVerifier(std::vector<IssuerWithFetcher> issuers, Clock& clock, Random& random,
                                                   Metrics& metrics, Log& log) {
  return std::make_unique<JwtVerifier>(std::move(issuers), clock, random, metrics, log);
}

std::unique_ptr<BearerVerifier> OpenBearerVerifier(std::vector<TrustedIssuer> issuers, Executor& executor, Clock& clock,
                                                   Random& random, Metrics& metrics, Log& log) {
  std::vector<IssuerWithFetcher> with_fetchers;
  for (TrustedIssuer& each : issuers) {
    if (each.key_file.empty()) {
      with_fetchers.push_back(
          {std::move(each.rules), each.refresh, MakeDiscoveryKeyFetcher(std::move(each.discovery))});
    } else {
      with_fetchers.push_back(
          {std::move(each.rules), kLookAtFilesEvery, MakeFileKeyFetcher(std::move(each.key_file), executor)});
    }
  }
  return MakeBearerVerifier(std::move(with_fetchers), clock, random, metrics, log);
}

}  // namespace tokenbroker
