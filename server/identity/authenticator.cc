#include "server/identity/authenticator.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/domain/identity_text.h"
#include "server/domain/target.h"

namespace tokenbroker {
namespace {

constexpr std::string_view kSpiffeScheme = "spiffe://";
constexpr std::size_t kSubjectMaxBytes = 1024;

bool HasScheme(std::string_view uri) { return LowerCase(uri.substr(0, kSpiffeScheme.size())) == kSpiffeScheme; }

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char each) { return each > ' ' && each < 0x7f; });
}

// Beyond ASCII there are names of branches.
bool IsSubject(std::string_view text) {
  return text.size() <= kSubjectMaxBytes && std::none_of(text.begin(), text.end(), [](char each) {
           return absl::ascii_iscntrl(static_cast<unsigned char>(each));
         });
}

// What a bad name says is not repeated: it comes from outside and goes into logs.
absl::Status Invalid(std::string_view what) {
  return Error(absl::StatusCode::kUnauthenticated, "IDENTITY_INVALID", what);
}

absl::Status Unknown(std::string_view what) {
  return Error(absl::StatusCode::kPermissionDenied, "UNKNOWN_CALLER", what);
}

// What was shown, checked: a rule is compared with this alone.
struct Shown {
  std::string spiffe;  // Empty: none.
  std::vector<std::string> dns_names;
  const BearerFacts* bearer = nullptr;
};

std::string SubjectKey(std::string_view issuer, std::string_view subject) {
  return std::string(issuer) + '\n' + std::string(subject);
}
std::string ClaimKey(std::string_view issuer, std::string_view name, std::string_view value) {
  return std::string(issuer) + '\n' + std::string(name) + '\n' + std::string(value);
}

// Calls `visit` with every value of the claim: of a list, with each element.
template <typename Visit>
void ForEachValue(const BearerFacts& bearer, const std::string& name, Visit visit) {
  const auto claim = bearer.claims.find(name);
  if (claim != bearer.claims.end()) visit(claim->second);
  const auto list = bearer.claim_lists.find(name);
  if (list == bearer.claim_lists.end()) return;
  for (const std::string& each : list->second) visit(each);
}

bool HasClaim(const BearerFacts& bearer, const std::string& name) {
  return bearer.claims.contains(name) || bearer.claim_lists.contains(name);
}

// But for the claims.
bool MatchesSubject(const JwtRule& rule, const BearerFacts* bearer) {
  Captures captures;
  return bearer != nullptr && bearer->issuer == rule.issuer &&
         (!rule.subject.has_value() || rule.subject->Matches(bearer->subject, captures));
}

// What the rule's captures may have caught once it matches, with `captures` before: nothing, if it does not match. More
// than one, if elements of a list differ in what they let a capture catch.
std::set<Captures> MatchJwt(const JwtRule& rule, const BearerFacts* bearer, Captures captures) {
  if (bearer == nullptr || bearer->issuer != rule.issuer) return {};
  if (rule.subject.has_value() && !rule.subject->Matches(bearer->subject, captures)) return {};
  std::set<Captures> matches = {std::move(captures)};
  for (const auto& [name, pattern] : rule.claims) {
    std::set<Captures> next;
    for (const Captures& before : matches) {
      ForEachValue(*bearer, name, [&, &pattern = pattern](const std::string& value) {
        Captures after = before;
        if (pattern.Matches(value, after)) next.insert(std::move(after));
      });
    }
    matches = std::move(next);
  }
  return matches;
}

// The callers that match so far. Two are one only if they agree in everything but the identity.
class Found {
 public:
  void Add(const CallerRule& rule, std::string identity, Captures captures) {
    std::optional<std::string> name = rule.name.Make(captures);
    if (!name.has_value() || is_ambiguous_) return;
    if (caller_.has_value()) {
      is_ambiguous_ = caller_->name != *name || caller_->captures != captures;
      return;
    }
    caller_ = Caller{*std::move(name), std::move(identity), rule.name.is_template() ? rule.name.text() : "",
                     std::move(captures)};
  }

  bool is_ambiguous() const { return is_ambiguous_; }
  std::optional<Caller>& caller() { return caller_; }

 private:
  std::optional<Caller> caller_;
  bool is_ambiguous_ = false;
};

void Try(const CallerRule& rule, const IdentityRule& identity, const Shown& shown, Found& found) {
  // The bearer's part comes last: its captures must be those of the certificate.
  const auto finish = [&](std::string text, Captures captures) {
    if (!identity.jwt.has_value()) return found.Add(rule, std::move(text), std::move(captures));
    for (const Captures& each : MatchJwt(*identity.jwt, shown.bearer, std::move(captures))) {
      found.Add(rule, text + (text.empty() ? "jwt:" : " jwt:") + shown.bearer->issuer + ' ' + shown.bearer->subject,
                each);
    }
  };
  if (!identity.certificate.has_value()) return finish("", {});
  if (identity.certificate->kind() == PatternKind::kSpiffe) {
    Captures captures;
    if (identity.certificate->Matches(shown.spiffe, captures)) finish(shown.spiffe, std::move(captures));
    return;
  }
  for (const std::string& name : shown.dns_names) {
    Captures captures;
    if (identity.certificate->Matches(name, captures)) finish("dns:" + name, std::move(captures));
  }
}

// Of what was shown, what is well-formed, in force and of a trust domain that is taken.
absl::StatusOr<Shown> Check(const PeerFacts& peer, const std::vector<std::string>& trust_domains, WallTime now) {
  if (!peer.certificate.has_value() && !peer.bearer.has_value()) {
    return Invalid("neither a client certificate nor a bearer token was shown");
  }
  Shown shown;
  if (peer.certificate.has_value()) {
    const CertificateFacts& certificate = *peer.certificate;
    if (!certificate.not_after.has_value()) {
      return Error(absl::StatusCode::kUnauthenticated, "CERTIFICATE_EXPIRED", "the client certificate has no end");
    }
    if (now >= *certificate.not_after) {
      return Error(absl::StatusCode::kUnauthenticated, "CERTIFICATE_EXPIRED",
                   "the client certificate ended at " + FormatRfc3339(*certificate.not_after));
    }
    if (certificate.revoked) {
      return Error(absl::StatusCode::kUnauthenticated, "CERTIFICATE_REVOKED",
                   "a revocation list names the client certificate or an authority above it");
    }
    // The SPIFFE standard: a certificate with a SPIFFE id has that URI SAN and no other.
    for (const std::string& uri : certificate.uris) {
      if (!IsPrintable(uri)) return Invalid("a URI in the client certificate has a byte that has no place there");
      if (!HasScheme(uri)) continue;
      if (certificate.uris.size() > 1) return Invalid("the client certificate has a SPIFFE id beside another URI");
      if (!IsSpiffeId(uri)) return Invalid("the client certificate's SPIFFE id is malformed");
      const std::string domain = TrustDomainOf({uri});
      if (!trust_domains.empty() &&
          std::find(trust_domains.begin(), trust_domains.end(), domain) == trust_domains.end()) {
        return Invalid("the trust domain " + domain + " is not among identity.trust_domains");
      }
      if (!certificate.spiffe_vouched) {
        return Invalid("the client certificate's chain does not end at an authority of the trust domain " + domain);
      }
      shown.spiffe = uri;
    }
    for (const std::string& name : certificate.dns_names) {
      if (!IsPrintable(name)) return Invalid("a DNS name in the client certificate has a byte that has no place there");
      // A wildcard or a dot at the end is no host's name, and so nobody's.
      std::string lower = LowerCase(name);
      if (certificate.dns_vouched && IsDnsName(lower)) shown.dns_names.push_back(std::move(lower));
    }
  }
  if (peer.bearer.has_value()) {
    if (!IsSubject(peer.bearer->subject)) {
      return Invalid("the bearer token's sub is longer than 1024 bytes or has a byte that has no place there");
    }
    shown.bearer = &*peer.bearer;
  }
  return shown;
}

// Whether the identity asks for nothing of a certificate, or for what was shown.
bool MatchesCertificate(const IdentityRule& identity, const Shown& shown) {
  if (!identity.certificate.has_value()) return true;
  const auto matches = [&](const std::string& name) {
    Captures captures;
    return identity.certificate->Matches(name, captures);
  };
  if (identity.certificate->kind() == PatternKind::kSpiffe) return matches(shown.spiffe);
  return std::any_of(shown.dns_names.begin(), shown.dns_names.end(), matches);
}

}  // namespace

// Each identity stands in one place, by what of it is rarest, and among all.
struct CallerIndex::Entries {
  struct Entry {
    const CallerRule* rule;
    const IdentityRule* identity;
  };
  using Map = std::unordered_map<std::string, std::vector<Entry>>;

  void Add(const Entry& entry) {
    const IdentityRule& identity = *entry.identity;
    all.push_back(entry);
    if (identity.certificate.has_value() && identity.certificate->is_literal()) {
      const bool is_dns = identity.certificate->kind() == PatternKind::kDns;
      (is_dns ? by_dns : by_spiffe)[identity.certificate->text()].push_back(entry);
      return;
    }
    if (identity.jwt.has_value()) {
      const JwtRule& jwt = *identity.jwt;
      if (jwt.subject.has_value() && jwt.subject->is_literal()) {
        by_subject[SubjectKey(jwt.issuer, jwt.subject->text())].push_back(entry);
        return;
      }
      // A long text tells more callers apart than "true" does.
      const std::pair<const std::string, TextPattern>* longest = nullptr;
      for (const auto& each : jwt.claims) {
        if (!each.second.is_literal()) continue;
        if (longest == nullptr || each.second.text().size() > longest->second.text().size()) longest = &each;
      }
      if (longest != nullptr) {
        by_claim[ClaimKey(jwt.issuer, longest->first, longest->second.text())].push_back(entry);
        return;
      }
    }
    open.push_back(entry);
  }

  // The claims, quoted, that the token lacks in identities that match but for such: the first five.
  std::string MissingClaims(const Shown& shown) const {
    constexpr std::size_t kMost = 5;
    std::set<std::string> missing;
    for (const Entry& each : all) {
      const std::optional<JwtRule>& jwt = each.identity->jwt;
      if (!jwt.has_value() || !MatchesCertificate(*each.identity, shown) || !MatchesSubject(*jwt, shown.bearer))
        continue;
      for (const auto& [name, pattern] : jwt->claims) {
        if (missing.size() < kMost && !HasClaim(*shown.bearer, name)) missing.insert("'" + name + "'");
      }
    }
    return absl::StrJoin(missing, ", ");
  }

  static void TryAll(const Map& map, const std::string& key, const Shown& shown, Found& found) {
    const auto entries = map.find(key);
    if (entries == map.end()) return;
    for (const Entry& each : entries->second) Try(*each.rule, *each.identity, shown, found);
  }

  Map by_spiffe, by_dns, by_subject, by_claim;
  std::vector<Entry> open;
  std::vector<Entry> all;
};

std::string TrustDomainOf(const std::vector<std::string>& uris) {
  for (const std::string& uri : uris) {
    if (!HasScheme(uri)) continue;
    const std::string_view rest = std::string_view(uri).substr(kSpiffeScheme.size());
    return std::string(rest.substr(0, rest.find('/')));
  }
  return "";
}

CallerIndex::CallerIndex(const std::vector<CallerRule>& rules, std::vector<std::string> trust_domains)
    : trust_domains_(std::move(trust_domains)), entries_([&rules] {
        auto entries = std::make_unique<Entries>();
        for (const CallerRule& rule : rules) {
          for (const IdentityRule& identity : rule.identities) entries->Add({&rule, &identity});
        }
        return entries;
      }()) {}

CallerIndex::~CallerIndex() = default;

absl::StatusOr<Caller> CallerIndex::Recognise(const PeerFacts& peer, WallTime now) const {
  const absl::StatusOr<Shown> checked = Check(peer, trust_domains_, now);
  if (!checked.ok()) return checked.status();
  const Shown& shown = *checked;
  Found found;
  const Entries& entries = *entries_;
  if (!shown.spiffe.empty()) Entries::TryAll(entries.by_spiffe, shown.spiffe, shown, found);
  for (const std::string& name : shown.dns_names) Entries::TryAll(entries.by_dns, name, shown, found);
  if (shown.bearer != nullptr) {
    const BearerFacts& bearer = *shown.bearer;
    Entries::TryAll(entries.by_subject, SubjectKey(bearer.issuer, bearer.subject), shown, found);
    if (!entries.by_claim.empty()) {
      for (const auto& [name, value] : bearer.claims) {
        Entries::TryAll(entries.by_claim, ClaimKey(bearer.issuer, name, value), shown, found);
      }
      for (const auto& [name, values] : bearer.claim_lists) {
        for (const std::string& value : values) {
          Entries::TryAll(entries.by_claim, ClaimKey(bearer.issuer, name, value), shown, found);
        }
      }
    }
  }
  for (const Entries::Entry& each : entries.open) Try(*each.rule, *each.identity, shown, found);
  if (found.is_ambiguous()) return Unknown("what was shown matches more than one caller of the policy");
  if (found.caller().has_value()) return *std::move(found.caller());
  const std::string missing = entries.MissingClaims(shown);
  return Unknown("what was shown matches no caller of the policy" +
                 (missing.empty() ? "" : "; the bearer token has no claim " + missing));
}

absl::Status CallerIndex::CheckCertificate(const CertificateFacts& certificate, bool bearer_may_follow,
                                           WallTime now) const {
  const absl::Status alone = Recognise({certificate, std::nullopt}, now).status();
  if (!bearer_may_follow || !absl::IsPermissionDenied(alone)) return alone;
  const absl::StatusOr<Shown> shown = Check({certificate, std::nullopt}, trust_domains_, now);
  const bool may_match = std::any_of(entries_->all.begin(), entries_->all.end(), [&](const Entries::Entry& each) {
    return each.identity->jwt.has_value() && MatchesCertificate(*each.identity, *shown);
  });
  return may_match ? absl::OkStatus() : alone;
}

}  // namespace tokenbroker
