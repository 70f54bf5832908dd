#include "server/policy/engine.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "server/base/error.h"
#include "server/policy/closest.h"
#include "server/policy/matching.h"

namespace tokenbroker {
namespace {

constexpr std::array<std::string_view, 6> kVerbNames = {"create", "rotate", "read", "revoke", "reconcile", "audit"};

// A request and all that is known of its target.
struct Case {
  Case(const Caller& caller, const AccessRequest& the_request, const TargetFacts* facts)
      : request(the_request), captured(caller.captures), written(the_request.target) {
    if (facts == nullptr) return;
    known.emplace(facts->target);
    known_instance = facts->target.instance;
  }

  TargetKind kind() const { return known.has_value() ? known->kind : written.kind; }
  const SoughtTarget& target() const { return known.has_value() ? *known : written; }
  // Whether a grant may be about the target as written, or is about the known one.
  bool Reaches(const CompiledGrant& grant) const {
    if (known.has_value()) return MatchesFacts(grant, known_instance, *known, captured);
    return MatchWritten(grant, request.target.instance, written, captured) != Match::kNo;
  }

  const AccessRequest& request;
  const CapturedTexts captured;
  const SoughtTarget written;
  std::optional<SoughtTarget> known;
  std::string_view known_instance;
};

const CapturedTexts& NothingCaptured() {
  static const auto* const kNothing = new CapturedTexts;
  return *kNothing;
}

// A deny that hits the request for certain; null if there is none.
const CompiledGrant* Denying(const GrantIndex& denies, const Case& given) {
  const CapturedTexts& none = NothingCaptured();
  const CompiledGrant* found = nullptr;
  denies.ForEach(given.written, none, /*maybe=*/false, [&](const CompiledGrant& deny) {
    const std::string& instance = given.request.target.instance;
    const bool hits = DenyHits(deny, given.request) && MatchWritten(deny, instance, given.written, none) == Match::kYes;
    if (hits) found = &deny;
    return !hits;
  });
  if (found != nullptr || !given.known.has_value()) return found;
  denies.ForEach(*given.known, none, /*maybe=*/false, [&](const CompiledGrant& deny) {
    const bool hits = DenyHits(deny, given.request) && MatchesFacts(deny, given.known_instance, *given.known, none);
    if (hits) found = &deny;
    return !hits;
  });
  return found;
}

bool IsLimited(const CompiledGrant& grant) { return grant.max_active != 0 || grant.creates_per_minute != 0; }

bool IsWider(const CompiledGrant& grant, const CompiledGrant& than) {
  const auto width = [](int limit) { return limit == 0 ? std::numeric_limits<int>::max() : limit; };
  return std::pair(width(grant.max_active), width(grant.creates_per_minute)) >
         std::pair(width(than.max_active), width(than.creates_per_minute));
}

// The grant that covers the request with the widest limits, or the first one that may cover it as written; null if
// there is none.
const CompiledGrant* Covering(const GrantIndex& grants, const Case& given) {
  const CompiledGrant* widest = nullptr;
  const bool maybe = !given.known.has_value();
  grants.ForEach(given.target(), given.captured, maybe, [&](const CompiledGrant& grant) {
    if (!HasVerb(grant, given.request.verb) || !given.Reaches(grant)) return true;
    if (WhatIsMissing(grant, given.request, given.kind()).lack != Lack::kNothing) return true;
    if (widest == nullptr || IsWider(grant, *widest)) widest = &grant;
    return !maybe && IsLimited(*widest);
  });
  return widest;
}

std::string NameOf(const CompiledGrant& rule) {
  return rule.rule.position.empty() ? rule.rule.place : rule.rule.place + " (" + rule.rule.position + ")";
}

Decision Refused(std::string detail) { return {NotGranted(), std::move(detail)}; }
Decision DeniedBy(const CompiledGrant& deny) { return {NotGranted(), NameOf(deny) + " denies it", deny.rule}; }

// The words for the log: of the grants about the target, the first one that has the verb, and what it lacks.
std::string NearestMiss(const GrantIndex& grants, const Case& given, const std::string& target) {
  if (grants.all().empty()) return "no grant is bound to the caller";
  const CompiledGrant* near = nullptr;
  bool has_verb = false;
  grants.ForEach(given.target(), given.captured, !given.known.has_value(), [&](const CompiledGrant& grant) {
    if (grant.targets.empty() || !given.Reaches(grant)) return true;  // The former are about no target.
    has_verb = HasVerb(grant, given.request.verb);
    if (near == nullptr || has_verb) near = &grant;
    return !has_verb;
  });
  if (near == nullptr) return "no grant of the caller covers " + target;
  if (!has_verb) return NameOf(*near) + " does not grant the verb " + std::string(NameOf(given.request.verb));
  return NameOf(*near) + " does not grant " +
         ToText(WhatIsMissing(*near, given.request, given.kind()), *near, given.request);
}

QuotaLimits LimitsOf(const CompiledGrant& grant, Verb verb) {
  QuotaLimits limits;
  if (!MakesToken(verb) || !IsLimited(grant)) return limits;
  // A rotation's successor takes its predecessor's place.
  limits.max_active = verb == Verb::kCreate ? grant.max_active : 0;
  limits.creates_per_minute = grant.creates_per_minute;
  return limits;
}

Decision Forbidden(const CompiledGrant& grant, std::string_view what) {
  return {Error(absl::StatusCode::kFailedPrecondition, "TARGET_FORBIDDEN",
                "target: no token may be made for " + std::string(what))
              .Precondition("TARGET_FORBIDDEN", "target", what),
          NameOf(grant) + " covers the request, but the target is " + std::string(what), grant.rule};
}

// Both steps. `facts` is null in the first.
Decision Judge(const RuleSet& grants, const RuleSet& denies, const PolicyOptions& options, const Caller& caller,
               const AccessRequest& request, const TargetFacts* facts) {
  const Case given(caller, request, facts);
  if (const CompiledGrant* const deny = Denying(denies.enforced, given)) return DeniedBy(*deny);
  const std::string_view forbidden = facts == nullptr ? "" : WhyForbidden(*facts, request.verb, options);
  const CompiledGrant* const grant = Covering(grants.enforced, given);
  if (grant == nullptr) {
    Decision refused =
        Refused(NearestMiss(grants.enforced, given, facts == nullptr ? ToText(request.target) : ToText(facts->target)));
    const CompiledGrant* const audited = Covering(grants.audited, given);
    if (audited != nullptr && forbidden.empty() && Denying(denies.audited, given) == nullptr) {
      refused.would_have = WouldHave{true, audited->rule};
    }
    return refused;
  }
  if (!forbidden.empty()) return Forbidden(*grant, forbidden);
  Decision allowed = {absl::OkStatus(), NameOf(*grant) + (facts == nullptr ? " may cover it" : " covers it"),
                      grant->rule};
  if (const CompiledGrant* const audited = Denying(denies.audited, given)) {
    allowed.would_have = WouldHave{false, audited->rule};
  }
  if (facts != nullptr) allowed.limits = LimitsOf(*grant, request.verb);
  return allowed;
}

// The first rule about AdminService that `takes` it; null if there is none.
template <typename Takes>
const CompiledGrant* FirstRule(const GrantIndex& rules, const Takes& takes) {
  for (const auto& rule : rules.all()) {
    if (takes(*rule)) return rule.get();
  }
  return nullptr;
}

}  // namespace

std::string_view NameOf(Verb verb) { return kVerbNames.at(static_cast<std::size_t>(verb)); }

std::optional<Verb> ParseVerb(std::string_view name) {
  const auto* const found = std::find(kVerbNames.begin(), kVerbNames.end(), name);
  if (found == kVerbNames.end()) return std::nullopt;
  return static_cast<Verb>(found - kVerbNames.begin());
}

bool MakesToken(Verb verb) { return verb == Verb::kCreate || verb == Verb::kRotate; }

absl::Status NotGranted() {
  return Error(absl::StatusCode::kPermissionDenied, "NOT_GRANTED",
               "the policy grants the caller nothing that covers this request");
}

const RuleSet& Engine::GrantsFor(const Caller& caller) const {
  static const auto* const kNone = new RuleSet;
  const auto found = compiled_.grants.find(caller.rule.empty() ? caller.name : caller.rule);
  return found == compiled_.grants.end() ? *kNone : found->second;
}

Decision Engine::DecideAsWritten(const Caller& caller, const AccessRequest& request) const {
  return Judge(GrantsFor(caller), compiled_.denies, compiled_.options, caller, request, nullptr);
}

Decision Engine::Decide(const Caller& caller, const AccessRequest& request, const TargetFacts& facts) const {
  return Judge(GrantsFor(caller), compiled_.denies, compiled_.options, caller, request, &facts);
}

bool Engine::CoversAsWritten(const Caller& caller, const AccessRequest& request) const {
  const Case given(caller, request, nullptr);
  const std::string& instance = request.target.instance;
  // Nothing that a deny might hit: the absence of a denied target is nobody's business.
  bool denied = false;
  compiled_.denies.enforced.ForEach(given.written, NothingCaptured(), /*maybe=*/true, [&](const CompiledGrant& deny) {
    denied = DenyHits(deny, request) && MatchWritten(deny, instance, given.written, NothingCaptured()) != Match::kNo;
    return !denied;
  });
  if (denied) return false;
  bool covered = false;
  GrantsFor(caller).enforced.ForEach(given.written, given.captured, /*maybe=*/false, [&](const CompiledGrant& grant) {
    covered = HasVerb(grant, request.verb) &&
              MatchWritten(grant, instance, given.written, given.captured) == Match::kYes &&
              WhatIsMissing(grant, request, given.kind()).lack == Lack::kNothing;
    return !covered;
  });
  return covered;
}

bool Engine::MayReach(const Caller& caller, const AccessRequest& request) const {
  AccessRequest bare = request;
  bare.scopes.clear();  // A deny of some scopes leaves others.
  const Case given(caller, bare, nullptr);
  if (Denying(compiled_.denies.enforced, given) != nullptr) return false;
  bool reaches = false;
  GrantsFor(caller).enforced.ForEach(given.written, given.captured, /*maybe=*/true, [&](const CompiledGrant& grant) {
    reaches = HasVerb(grant, request.verb) && given.Reaches(grant) &&
              (!grant.not_after.has_value() || request.now < *grant.not_after);
    return !reaches;
  });
  return reaches;
}

Decision Engine::DecideAdmin(const Caller& caller, Verb verb, WallTime now) const {
  const auto denies = [&](const CompiledGrant& deny) {
    const bool everything = deny.verbs.empty() && deny.targets.empty() && deny.scopes.empty() && deny.instance.empty();
    return everything || HasVerb(deny, verb);
  };
  const auto covers = [&](const CompiledGrant& grant) {
    return HasVerb(grant, verb) && (!grant.not_after.has_value() || now < *grant.not_after);
  };
  if (const auto* const deny = FirstRule(compiled_.denies.enforced, denies)) return DeniedBy(*deny);
  const RuleSet& grants = GrantsFor(caller);
  const CompiledGrant* const audited_deny = FirstRule(compiled_.denies.audited, denies);
  if (const auto* const grant = FirstRule(grants.enforced, covers)) {
    Decision allowed = {absl::OkStatus(), NameOf(*grant) + " covers it", grant->rule};
    if (audited_deny != nullptr) allowed.would_have = WouldHave{false, audited_deny->rule};
    return allowed;
  }
  Decision refused = Refused("no grant of the caller has the verb " + std::string(NameOf(verb)));
  const CompiledGrant* const audited = FirstRule(grants.audited, covers);
  if (audited != nullptr && audited_deny == nullptr) refused.would_have = WouldHave{true, audited->rule};
  return refused;
}

std::optional<AccessRequest> Engine::Closest(const Caller& caller, const AccessRequest& request,
                                             const TargetFacts* facts) const {
  return ClosestAllowed({GrantsFor(caller).enforced, compiled_.denies.enforced, compiled_.options}, caller, request,
                        facts);
}

bool Engine::HasVerbAnywhere(const Caller& caller, Verb verb) const {
  const auto has = [verb](const CompiledGrant& grant) { return HasVerb(grant, verb); };
  return FirstRule(GrantsFor(caller).enforced, has) != nullptr;
}

std::vector<GrantView> Engine::GrantsOf(const Caller& caller) const {
  std::vector<GrantView> views;
  for (const auto& grant : GrantsFor(caller).enforced.all()) {
    GrantView view;
    view.role = grant->rule.role;
    for (const Verb verb : grant->verbs) view.verbs.emplace_back(NameOf(verb));
    for (const CompiledPattern& pattern : grant->targets) view.targets.push_back(pattern.text);
    view.scopes = grant->scopes;
    view.max_access_level = grant->max_access_level;
    view.min_ttl = grant->min_ttl.value_or(Duration(0));
    view.max_ttl = grant->max_ttl.value_or(Duration(0));
    view.self_extending = grant->self_extending;
    view.display_name = grant->display_name;
    view.required_labels = grant->required_labels;
    view.max_active = grant->max_active;
    view.creates_per_minute = grant->creates_per_minute;
    view.not_after = grant->not_after;
    view.max_chain_age = grant->max_chain_age;
    views.push_back(std::move(view));
  }
  return views;
}

std::shared_ptr<const Policy> Policy::DenyAll() {
  static const auto* const kDenyAll =
      new std::shared_ptr<const Policy>(std::make_shared<const Engine>(CompiledPolicy{.version = "none"}));
  return *kDenyAll;
}

}  // namespace tokenbroker
