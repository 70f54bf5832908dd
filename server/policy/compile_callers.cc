#include "server/policy/compile_callers.h"

#include <string>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/policy/identity_overlap.h"
#include "server/policy/policy_fault.h"

namespace tokenbroker {
namespace {

namespace pb = config::v1;

// Each open identity is compared with all others.
constexpr int kMostOpenIdentities = 4096;

absl::StatusOr<TextPattern> ParsePattern(PatternKind kind, const std::string& text, const std::string& at) {
  absl::StatusOr<TextPattern> pattern = TextPattern::Parse(kind, text);
  if (!pattern.ok()) return PolicyFault(at, std::string(pattern.status().message()));
  return pattern;
}

absl::StatusOr<JwtRule> CompileJwt(const pb::JwtIdentity& jwt, const std::string& at) {
  JwtRule out;
  out.issuer = jwt.issuer();
  if (out.issuer.empty()) return PolicyFault(at + ".issuer", "is required");
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

absl::StatusOr<IdentityRule> CompileIdentity(const pb::Identity& identity, const std::string& at) {
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
    absl::StatusOr<JwtRule> jwt = CompileJwt(identity.jwt(), at + ".jwt");
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

absl::StatusOr<CallerRule> CompileCaller(const pb::CallerRule& caller, const std::string& at) {
  absl::StatusOr<CallerName> name = CallerName::Parse(caller.name());
  if (!name.ok()) return PolicyFault(at + ".name", std::string(name.status().message()));
  if (caller.identities().empty()) return PolicyFault(at + ".identities", "at least one identity is required");
  CallerRule out{*std::move(name), {}};
  for (int i = 0; i < caller.identities_size(); ++i) {
    const std::string here = ItemOf(at + ".identities", i);
    absl::StatusOr<IdentityRule> identity = CompileIdentity(caller.identities(i), here);
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

// Finds callers that one peer could both be. Literal identities meet only their equals.
class Overlaps {
 public:
  absl::Status Add(const CallerRule& caller, const IdentityRule& identity, const std::string& at) {
    const Entry entry{&caller, &identity};
    const std::vector<std::string> keys = KeysOf(identity);
    const bool is_open = keys.empty();
    for (const Entry& other : is_open ? all_ : open_) {
      if (absl::Status bad = Compare(entry, other, at); !bad.ok()) return bad;
    }
    for (const std::string& key : keys) {
      for (const Entry& other : by_key_[key]) {
        if (absl::Status bad = Compare(entry, other, at); !bad.ok()) return bad;
      }
      by_key_[key].push_back(entry);
    }
    all_.push_back(entry);
    if (is_open) open_.push_back(entry);
    if (open_.size() > kMostOpenIdentities) {
      return PolicyFault(
          at, "more than " + std::to_string(kMostOpenIdentities) + " identities with captures, '*' or without sub");
    }
    return absl::OkStatus();
  }

 private:
  struct Entry {
    const CallerRule* caller;
    const IdentityRule* identity;
  };

  // Where identities meet that can overlap with this one, unless they are open; none: it is open itself.
  static std::vector<std::string> KeysOf(const IdentityRule& identity) {
    std::vector<std::string> keys;
    if (identity.certificate.has_value()) {
      if (!identity.certificate->is_literal()) return {};
      keys.push_back("certificate " + identity.certificate->text());
    }
    if (identity.jwt.has_value()) {
      if (!identity.jwt->subject.has_value() || !identity.jwt->subject->is_literal()) return {};
      keys.push_back("jwt " + identity.jwt->issuer + ' ' + identity.jwt->subject->text());
    }
    return keys;
  }

  static absl::Status Compare(const Entry& one, const Entry& other, const std::string& at) {
    if (one.caller == other.caller) return absl::OkStatus();
    const std::optional<std::string> both =
        FindOverlap({one.caller->name, *one.identity}, {other.caller->name, *other.identity});
    if (!both.has_value()) return absl::OkStatus();
    return PolicyFault(at, "the caller " + InQuotes(other.caller->name.text()) +
                               " has an identity that matches the same: " + InQuotes(*both));
  }

  std::vector<Entry> all_, open_;
  std::unordered_map<std::string, std::vector<Entry>> by_key_;
};

absl::Status CheckNames(const std::vector<CallerRule>& callers) {
  std::unordered_map<std::string_view, std::size_t> known;
  std::vector<std::size_t> templates;
  for (std::size_t i = 0; i < callers.size(); ++i) {
    const CallerName& name = callers[i].name;
    const std::string at = ItemOf("callers", static_cast<int>(i)) + ".name";
    if (!known.emplace(name.text(), i).second) return PolicyFault(at, "a second caller " + InQuotes(name.text()));
    const auto check = [&](std::size_t other) {
      if (!name.MayEqual(callers[other].name)) return absl::OkStatus();
      return PolicyFault(at, "could be the same name as " + InQuotes(callers[other].name.text()) +
                                 " makes; a name is the owner of its tokens");
    };
    if (name.is_template()) {
      for (std::size_t other = 0; other < i; ++other) {
        if (absl::Status bad = check(other); !bad.ok()) return bad;
      }
      templates.push_back(i);
    } else {
      for (const std::size_t other : templates) {
        if (absl::Status bad = check(other); !bad.ok()) return bad;
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<CallerRule>> CompileCallers(const pb::Policy& source) {
  std::vector<CallerRule> out;
  for (int i = 0; i < source.callers_size(); ++i) {
    absl::StatusOr<CallerRule> caller = CompileCaller(source.callers(i), ItemOf("callers", i));
    if (!caller.ok()) return caller.status();
    out.push_back(*std::move(caller));
  }
  if (absl::Status bad = CheckNames(out); !bad.ok()) return bad;
  Overlaps overlaps;
  for (std::size_t i = 0; i < out.size(); ++i) {
    for (std::size_t j = 0; j < out[i].identities.size(); ++j) {
      const std::string at = ItemOf(ItemOf("callers", static_cast<int>(i)) + ".identities", static_cast<int>(j));
      if (absl::Status bad = overlaps.Add(out[i], out[i].identities[j], at); !bad.ok()) return bad;
    }
  }
  return out;
}

std::map<std::string, std::set<std::string>> CapturesOf(const std::vector<CallerRule>& callers) {
  std::map<std::string, std::set<std::string>> captures;
  for (const CallerRule& caller : callers) {
    std::set<std::string> common = CapturesOf(caller.identities.front());
    for (const IdentityRule& identity : caller.identities) {
      const std::set<std::string> names = CapturesOf(identity);
      std::erase_if(common, [&](const std::string& name) { return !names.contains(name); });
    }
    captures.emplace(caller.name.text(), std::move(common));
  }
  return captures;
}

}  // namespace tokenbroker
