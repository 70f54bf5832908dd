#include "server/policy/compile_callers.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/policy/affix_index.h"
#include "server/policy/identity_index.h"
#include "server/policy/identity_overlap.h"
#include "server/policy/known_names.h"
#include "server/policy/policy_fault.h"

namespace tokenbroker {
namespace {

namespace pb = config::v1;

// An open identity may have to be compared with many others.
constexpr int kMostOpenIdentities = 4096;

absl::StatusOr<TextPattern> ParsePattern(PatternKind kind, const std::string& text, const std::string& at) {
  absl::StatusOr<TextPattern> pattern = TextPattern::Parse(kind, text);
  if (!pattern.ok()) return PolicyFault(at, std::string(pattern.status().message()));
  return pattern;
}

absl::StatusOr<JwtRule> CompileJwt(const pb::JwtIdentity& jwt, const std::string& at, const PolicyOptions& options) {
  JwtRule out;
  out.issuer = jwt.issuer();
  if (out.issuer.empty()) return PolicyFault(at + ".issuer", "is required");
  if (options.known.has_value()) {
    const std::string unknown = UnknownName("issuer", out.issuer, options.known->issuers);
    if (!unknown.empty()) return PolicyFault(at + ".issuer", unknown + " (identity.issuers)");
  }
  if (jwt.sub().empty() && jwt.claims().empty()) return PolicyFault(at, "sub or a claim is required");
  if (!jwt.sub().empty()) {
    absl::StatusOr<TextPattern> subject = ParsePattern(PatternKind::kJwt, jwt.sub(), at + ".sub");
    if (!subject.ok()) return subject.status();
    out.subject = *std::move(subject);
  }
  // A protobuf map has no order; errors shall have one.
  const std::map<std::string, std::string> claims(jwt.claims().begin(), jwt.claims().end());
  for (const auto& [name, text] : claims) {
    const std::string here = absl::StrCat(at, ".claims.", name);
    for (const char* const fixed : {"iss", "sub", "aud", "exp", "nbf"}) {
      if (name == fixed)
        return PolicyFault(here, "is no claim to compare here: the issuer and sub have fields of their own");
    }
    absl::StatusOr<TextPattern> pattern = ParsePattern(PatternKind::kJwt, text, here);
    if (!pattern.ok()) return pattern.status();
    out.claims.emplace(name, *std::move(pattern));
  }
  return out;
}

absl::StatusOr<IdentityRule> CompileIdentity(const pb::Identity& identity, const std::string& at,
                                             const PolicyOptions& options) {
  if (!identity.spiffe().empty() && !identity.dns().empty()) {
    return PolicyFault(at, "of spiffe and dns, one alone can stand in an identity");
  }
  IdentityRule out;
  if (!identity.spiffe().empty() || !identity.dns().empty()) {
    const bool is_dns = identity.spiffe().empty();
    absl::StatusOr<TextPattern> pattern = is_dns
                                              ? ParsePattern(PatternKind::kDns, identity.dns(), at + ".dns")
                                              : ParsePattern(PatternKind::kSpiffe, identity.spiffe(), at + ".spiffe");
    if (!pattern.ok()) return pattern.status();
    out.certificate = *std::move(pattern);
  }
  if (identity.has_jwt()) {
    absl::StatusOr<JwtRule> jwt = CompileJwt(identity.jwt(), at + ".jwt", options);
    if (!jwt.ok()) return jwt.status();
    out.jwt = *std::move(jwt);
  }
  if (!out.certificate.has_value() && !out.jwt.has_value()) {
    return PolicyFault(at, "at least one of spiffe, dns and jwt is required");
  }
  return out;
}

void AddCaptures(const TextPattern& pattern, std::set<std::string>& names) {
  for (const TextPattern::Segment& segment : pattern.segments()) {
    if (segment.place == TextPattern::Place::kCapture) names.insert(segment.capture);
  }
}

std::set<std::string> CapturesOf(const IdentityRule& identity) {
  std::set<std::string> names;
  if (identity.certificate.has_value()) AddCaptures(*identity.certificate, names);
  if (!identity.jwt.has_value()) return names;
  if (identity.jwt->subject.has_value()) AddCaptures(*identity.jwt->subject, names);
  for (const auto& [claim, pattern] : identity.jwt->claims) AddCaptures(pattern, names);
  return names;
}

absl::StatusOr<CallerRule> CompileCaller(const pb::CallerRule& caller, const std::string& at,
                                         const PolicyOptions& options) {
  absl::StatusOr<CallerName> name = CallerName::Parse(caller.name());
  if (!name.ok()) return PolicyFault(at + ".name", std::string(name.status().message()));
  if (caller.identities().empty()) return PolicyFault(at + ".identities", "at least one identity is required");
  CallerRule out{*std::move(name), {}};
  for (int i = 0; i < caller.identities_size(); ++i) {
    const std::string here = ItemOf(at + ".identities", i);
    absl::StatusOr<IdentityRule> identity = CompileIdentity(caller.identities(i), here, options);
    if (!identity.ok()) return identity.status();
    const std::set<std::string> captures = CapturesOf(*identity);
    for (const CallerName::Part& part : out.name.parts()) {
      if (captures.contains(part.capture)) continue;
      return PolicyFault(here, "catches no '{" + part.capture + "}', which the caller's name is made of");
    }
    out.identities.push_back(*std::move(identity));
  }
  return out;
}

// Whether the identity has something open by which it could meet many others.
bool IsOpen(const IdentityRule& identity) {
  if (identity.certificate.has_value() && !identity.certificate->is_literal()) return true;
  if (!identity.jwt.has_value()) return false;
  return !identity.jwt->subject.has_value() || !identity.jwt->subject->is_literal();
}

// An error if one peer could be two callers.
absl::Status CheckOverlaps(const std::vector<CallerRule>& callers) {
  struct Entry {
    const CallerRule* caller;
    std::string at;
  };
  std::vector<Entry> entries;
  std::vector<const IdentityRule*> identities;
  int open = 0;
  for (std::size_t i = 0; i < callers.size(); ++i) {
    for (std::size_t j = 0; j < callers[i].identities.size(); ++j) {
      const std::string at = ItemOf("callers", static_cast<int>(i)) + ".identities";
      entries.push_back({&callers[i], ItemOf(at, static_cast<int>(j))});
      identities.push_back(&callers[i].identities[j]);
      if (!IsOpen(*identities.back()) || ++open <= kMostOpenIdentities) continue;
      return PolicyFault(entries.back().at, "more than " + std::to_string(kMostOpenIdentities) +
                                                " identities with captures, '*' or without sub");
    }
  }
  IdentityIndex index(identities);
  for (int i = 0; i < static_cast<int>(entries.size()); ++i) {
    const Entry& entry = entries[static_cast<std::size_t>(i)];
    for (const int before : index.FindBefore(i)) {
      const Entry& other = entries[static_cast<std::size_t>(before)];
      if (entry.caller == other.caller) continue;
      const std::optional<std::string> both =
          FindOverlap({entry.caller->name, *identities[static_cast<std::size_t>(i)]},
                      {other.caller->name, *identities[static_cast<std::size_t>(before)]});
      if (!both.has_value()) continue;
      return PolicyFault(entry.at, "the caller " + InQuotes(other.caller->name.text()) +
                                       " has an identity that matches the same: " + InQuotes(*both));
    }
  }
  return absl::OkStatus();
}

TextEdges EdgesOf(const CallerName& name) {
  return name.is_template() ? TextEdges::Open(name.parts().front().text, name.last_text())
                            : TextEdges::Literal(name.text());
}

absl::Status CheckNames(const std::vector<CallerRule>& callers) {
  AffixIndex index;
  for (std::size_t i = 0; i < callers.size(); ++i) index.Add(EdgesOf(callers[i].name), static_cast<int>(i));
  index.Finish();
  for (std::size_t i = 0; i < callers.size(); ++i) {
    const CallerName& name = callers[i].name;
    const std::string at = ItemOf("callers", static_cast<int>(i)) + ".name";
    std::vector<int> others;
    index.Find(EdgesOf(name), callers.size() + 1, &others);
    std::sort(others.begin(), others.end());
    for (const int each : others) {
      if (each >= static_cast<int>(i)) break;
      const CallerName& other = callers[static_cast<std::size_t>(each)].name;
      if (name.text() == other.text()) return PolicyFault(at, "a second caller " + InQuotes(name.text()));
      if (!name.MayEqual(other)) continue;
      return PolicyFault(
          at, "could be the same name as " + InQuotes(other.text()) + " makes; a name is the owner of its tokens");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<CallerRule>> CompileCallers(const pb::Policy& source, const PolicyOptions& options) {
  std::vector<CallerRule> out;
  for (int i = 0; i < source.callers_size(); ++i) {
    absl::StatusOr<CallerRule> caller = CompileCaller(source.callers(i), ItemOf("callers", i), options);
    if (!caller.ok()) return caller.status();
    out.push_back(*std::move(caller));
  }
  if (absl::Status bad = CheckNames(out); !bad.ok()) return bad;
  if (absl::Status bad = CheckOverlaps(out); !bad.ok()) return bad;
  return out;
}

std::map<std::string, std::set<std::string>> CapturesOf(const std::vector<CallerRule>& callers) {
  std::map<std::string, std::set<std::string>> captures;
  for (const CallerRule& caller : callers) {
    std::set<std::string>& names = captures[caller.name.text()];
    for (const CallerName::Part& part : caller.name.parts()) names.insert(part.capture);
  }
  return captures;
}

}  // namespace tokenbroker
