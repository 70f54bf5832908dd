#include "server/policy/matching.h"

#include <algorithm>

#include "server/base/time_text.h"
#include "server/domain/scope.h"

namespace tokenbroker {
namespace {

Match MatchWritten(const CompiledPattern& pattern, const SoughtTarget& target, const CapturedTexts& captured) {
  if (pattern.kind != target.kind) return Match::kNo;
  switch (target.kind) {
    case TargetKind::kUser:
      // The name beside an id is checked on the facts.
      if (target.id.has_value()) {
        if (*target.id != *pattern.id) return Match::kNo;
        return pattern.name.empty() ? Match::kYes : Match::kMaybe;
      }
      if (!pattern.name.empty() && pattern.name != target.path) return Match::kNo;
      return Match::kMaybe;
    case TargetKind::kServiceAccount:
      if (target.id.has_value() != pattern.id.has_value()) return Match::kMaybe;
      if (target.id.has_value()) return *target.id == *pattern.id ? Match::kYes : Match::kNo;
      break;
    case TargetKind::kProject:
    case TargetKind::kGroup:
      if (target.id.has_value()) return Match::kMaybe;
      break;
  }
  return pattern.path->Matches(target.path, captured) ? Match::kYes : Match::kNo;
}

bool MatchesFacts(const CompiledPattern& pattern, const SoughtTarget& target, const CapturedTexts& captured) {
  if (pattern.kind != target.kind) return false;
  if (!pattern.id.has_value()) return pattern.path->Matches(target.path, captured);
  return *pattern.id == *target.id && (pattern.name.empty() || pattern.name == target.path);
}

bool HasLevel(TargetKind kind) { return kind == TargetKind::kProject || kind == TargetKind::kGroup; }

}  // namespace

Match MatchWritten(const CompiledGrant& grant, std::string_view instance, const SoughtTarget& target,
                   const CapturedTexts& captured) {
  if (!grant.instance.empty() && grant.instance != instance) return Match::kNo;
  if (grant.targets.empty()) return Match::kYes;
  Match best = Match::kNo;
  for (const CompiledPattern& pattern : grant.targets) best = std::max(best, MatchWritten(pattern, target, captured));
  return best;
}

bool MatchesFacts(const CompiledGrant& grant, std::string_view instance, const SoughtTarget& target,
                  const CapturedTexts& captured) {
  if (!grant.instance.empty() && grant.instance != instance) return false;
  return grant.targets.empty() ||
         std::any_of(grant.targets.begin(), grant.targets.end(),
                     [&](const CompiledPattern& pattern) { return MatchesFacts(pattern, target, captured); });
}

bool HasVerb(const CompiledGrant& grant, Verb verb) {
  return std::find(grant.verbs.begin(), grant.verbs.end(), verb) != grant.verbs.end();
}

bool CoversScope(const CompiledGrant& grant, std::string_view scope) {
  if (!IsSelfExtending(scope)) return AnyImplies(grant.scopes, scope);
  return grant.self_extending && std::find(grant.scopes.begin(), grant.scopes.end(), scope) != grant.scopes.end();
}

Missing WhatIsMissing(const CompiledGrant& grant, const AccessRequest& request, TargetKind kind) {
  if (grant.not_after.has_value() && request.now >= *grant.not_after) return {Lack::kEnded};
  if (!MakesToken(request.verb)) return {};
  if (request.scopes.empty()) return {Lack::kScope};
  for (const std::string& scope : request.scopes) {
    if (!CoversScope(grant, scope)) return {IsSelfExtending(scope) ? Lack::kSelfScope : Lack::kScope, scope};
  }
  const bool level =
      HasLevel(kind) ? LevelCovers(grant.max_access_level, request.access_level) : request.access_level == 0;
  if (!level) return {Lack::kLevel};
  if (!grant.max_ttl.has_value() || request.ttl > *grant.max_ttl) return {Lack::kTtl};
  if (grant.min_ttl.has_value() && request.ttl < *grant.min_ttl) return {Lack::kTtl};
  if (grant.not_after.has_value() && request.ttl > *grant.not_after - request.now) return {Lack::kEnd};
  if (!grant.display_name.empty() && !GlobMatches(grant.display_name, request.display_name)) {
    return {Lack::kName, grant.display_name};
  }
  for (const auto& [key, pattern] : grant.required_labels) {
    const auto label = request.labels.find(key);
    if (label == request.labels.end() || !GlobMatches(pattern, label->second)) return {Lack::kLabel, key};
  }
  const bool rotates = request.verb == Verb::kRotate;
  if (rotates && grant.max_chain_age.has_value() && request.chain_age > *grant.max_chain_age) return {Lack::kChainAge};
  return {};
}

std::string ToText(const Missing& missing, const CompiledGrant& grant, const AccessRequest& request) {
  const std::string what(missing.what);
  switch (missing.lack) {
    case Lack::kNothing:
      return "";
    case Lack::kEnded:
      return "anything after " + FormatRfc3339(*grant.not_after);
    case Lack::kScope:
      return what.empty() ? "a request without a scope" : "the scope " + what;
    case Lack::kSelfScope:
      return "the self-extending scope " + what;
    case Lack::kLevel:
      return "the access level " + std::to_string(request.access_level);
    case Lack::kTtl:
      return "a ttl of " + FormatDuration(request.ttl);
    case Lack::kEnd:
      return "a token that lives after " + FormatRfc3339(*grant.not_after);
    case Lack::kName:
      return "a display name other than '" + what + "'";
    case Lack::kLabel:
      return "a request without the label " + what + "='" + grant.required_labels.at(what) + "'";
    case Lack::kChainAge:
      return "a rotation of what began " + FormatDuration(request.chain_age) + " ago";
  }
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

std::string_view WhyForbidden(const TargetFacts& facts, Verb verb, const PolicyOptions& options) {
  const bool user = facts.target.kind == TargetKind::kUser;
  if (!user && facts.target.kind != TargetKind::kServiceAccount) return {};
  if (!MakesToken(verb)) return {};
  if (facts.is_issuer && !options.allow_admin_targets) return "the broker's own user";
  if (facts.is_admin && !options.allow_admin_targets) return "an administrator";
  if (!facts.active) return "a user who is not active";
  if (user && facts.bot) return "a bot";
  return {};
}

}  // namespace tokenbroker
