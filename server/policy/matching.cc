#include "server/policy/matching.h"

#include <algorithm>

#include "server/base/time_text.h"
#include "server/domain/scope.h"

namespace tokenbroker {
namespace {

bool MakesToken(Verb verb) { return verb == Verb::kCreate || verb == Verb::kRotate; }

// A service account as it is written: "group/path:username".
Match MatchAccountName(const CompiledPattern& pattern, std::string_view ref) {
  const std::size_t colon = ref.rfind(':');
  if (colon == std::string_view::npos) return Match::kNo;
  const bool same =
      LowerCase(ref.substr(0, colon)) == pattern.group && LowerCase(ref.substr(colon + 1)) == pattern.name;
  return same ? Match::kYes : Match::kNo;
}

}  // namespace

Match MatchWritten(const CompiledPattern& pattern, const Target& target) {
  if (pattern.kind != target.kind) return Match::kNo;
  const std::optional<std::int64_t> id = target.id();
  switch (target.kind) {
    case TargetKind::kUser:
      // The name beside an id is checked on the facts.
      if (id.has_value()) {
        if (*id != *pattern.id) return Match::kNo;
        return pattern.name.empty() ? Match::kYes : Match::kMaybe;
      }
      if (!pattern.name.empty() && pattern.name != LowerCase(target.ref)) return Match::kNo;
      return Match::kMaybe;
    case TargetKind::kServiceAccount:
      if (id.has_value() != pattern.id.has_value()) return Match::kMaybe;
      if (id.has_value()) return *id == *pattern.id ? Match::kYes : Match::kNo;
      return MatchAccountName(pattern, target.ref);
    case TargetKind::kProject:
    case TargetKind::kGroup:
      if (id.has_value()) return Match::kMaybe;
      return pattern.path->Matches(target.ref) ? Match::kYes : Match::kNo;
  }
  return Match::kNo;
}

bool MatchesFacts(const CompiledPattern& pattern, const TargetFacts& facts) {
  const ResolvedTarget& target = facts.target;
  if (pattern.kind != target.kind) return false;
  switch (target.kind) {
    case TargetKind::kUser:
      return *pattern.id == target.id && (pattern.name.empty() || pattern.name == LowerCase(target.path));
    case TargetKind::kServiceAccount:
      if (pattern.id.has_value()) return *pattern.id == target.id;
      return MatchAccountName(pattern, target.path) == Match::kYes;
    case TargetKind::kProject:
    case TargetKind::kGroup:
      return pattern.path->Matches(target.path);
  }
  return false;
}

Match MatchWritten(const CompiledGrant& grant, const Target& target) {
  if (!grant.instance.empty() && grant.instance != target.instance) return Match::kNo;
  if (grant.targets.empty()) return Match::kYes;
  Match best = Match::kNo;
  for (const CompiledPattern& pattern : grant.targets) best = std::max(best, MatchWritten(pattern, target));
  return best;
}

bool MatchesFacts(const CompiledGrant& grant, const TargetFacts& facts) {
  if (!grant.instance.empty() && grant.instance != facts.target.instance) return false;
  return grant.targets.empty() ||
         std::any_of(grant.targets.begin(), grant.targets.end(),
                     [&](const CompiledPattern& pattern) { return MatchesFacts(pattern, facts); });
}

bool HasVerb(const CompiledGrant& grant, Verb verb) {
  return std::find(grant.verbs.begin(), grant.verbs.end(), verb) != grant.verbs.end();
}

std::string WhatIsMissing(const CompiledGrant& grant, const AccessRequest& request) {
  if (!MakesToken(request.verb)) return "";
  if (request.scopes.empty()) return "a scope in the request";
  for (const std::string& scope : request.scopes) {
    if (IsSelfExtending(scope)) {
      const bool named = std::find(grant.scopes.begin(), grant.scopes.end(), scope) != grant.scopes.end();
      if (!named || !grant.self_extending) return "the self-extending scope " + scope;
    } else if (!AnyImplies(grant.scopes, scope)) {
      return "the scope " + scope;
    }
  }
  const bool has_level = request.target.kind == TargetKind::kProject || request.target.kind == TargetKind::kGroup;
  if (has_level ? !LevelCovers(grant.max_access_level, request.access_level) : request.access_level != 0) {
    return "the access level " + std::to_string(request.access_level);
  }
  if (!grant.max_ttl.has_value() || request.ttl > *grant.max_ttl) return "a ttl of " + FormatDuration(request.ttl);
  return "";
}

bool DenyHits(const CompiledGrant& deny, const AccessRequest& request) {
  if (!deny.verbs.empty() && !HasVerb(deny, request.verb)) return false;
  // A deny of some scopes is about tokens; whoever asks for a scope that gives a denied one asks for that one, too.
  if (deny.scopes.empty()) return true;
  return std::any_of(request.scopes.begin(), request.scopes.end(), [&](const std::string& asked) {
    return std::any_of(deny.scopes.begin(), deny.scopes.end(),
                       [&](const std::string& denied) { return Gives(asked, denied); });
  });
}

}  // namespace tokenbroker
