#include "server/policy/engine.h"

#include <algorithm>
#include <array>

#include "server/base/error.h"
#include "server/domain/scope.h"
#include "server/policy/matching.h"

namespace tokenbroker {
namespace {

constexpr std::array<std::string_view, 6> kVerbNames = {"create", "rotate", "read", "revoke", "reconcile", "audit"};

Decision Refused(std::string detail) { return {NotGranted(), "", std::move(detail)}; }

// The words for the log: of all grants, the one that came nearest, and what it lacks. Nearer is a later step that
// failed.
template <typename Matches>
std::string NearestMiss(const GrantIndex::Grants& grants, const AccessRequest& request, const std::string& target,
                        const Matches& matches) {
  int nearest = 0;
  std::string text = "no grant is bound to the caller";
  for (const auto& grant : grants) {
    const int step = !HasVerb(*grant, request.verb) ? 1 : !matches(*grant) ? 2 : 3;
    if (step <= nearest) continue;
    nearest = step;
    text = grant->place + " does not grant " +
           (step == 1   ? "the verb " + std::string(NameOf(request.verb))
            : step == 2 ? target
                        : WhatIsMissing(*grant, request));
  }
  return text;
}

Decision Forbidden(const CompiledGrant& grant, std::string_view what) {
  return {Error(absl::StatusCode::kFailedPrecondition, "TARGET_FORBIDDEN",
                "target: no token may be made for " + std::string(what))
              .Precondition("TARGET_FORBIDDEN", "target", what),
          grant.role, grant.place + " covers the request, but the target is " + std::string(what)};
}

// What no grant can reach; empty if nothing stands against it.
std::string_view WhyForbidden(const TargetFacts& facts, Verb verb, PolicyOptions options) {
  const bool user = facts.target.kind == TargetKind::kUser;
  if (!user && facts.target.kind != TargetKind::kServiceAccount) return {};
  if (verb != Verb::kCreate && verb != Verb::kRotate) return {};
  if (facts.is_issuer && !options.allow_admin_targets) return "the broker's own user";
  if (facts.is_admin && !options.allow_admin_targets) return "an administrator";
  if (!facts.active) return "a user who is not active";
  if (user && facts.bot) return "a bot";
  return {};
}

}  // namespace

std::string_view NameOf(Verb verb) { return kVerbNames.at(static_cast<std::size_t>(verb)); }

absl::Status NotGranted() {
  return Error(absl::StatusCode::kPermissionDenied, "NOT_GRANTED",
               "the policy grants the caller nothing that covers this request");
}

Engine::Engine(CompiledPolicy compiled) : compiled_(std::move(compiled)) {
  for (const auto& [caller, grants] : compiled_.grants) grants_.emplace(caller, GrantIndex(grants));
}

const GrantIndex& Engine::GrantsFor(const Caller& caller) const {
  static const auto* const kNone = new GrantIndex;
  const auto found = grants_.find(caller.name);
  return found == grants_.end() ? *kNone : found->second;
}

Decision Engine::DecideAsWritten(const Caller& caller, const AccessRequest& request) const {
  for (const CompiledGrant& deny : compiled_.denies) {
    if (DenyHits(deny, request) && MatchWritten(deny, request.target) == Match::kYes) {
      return Refused(deny.place + " denies it");
    }
  }
  const auto matches = [&](const CompiledGrant& grant) { return MatchWritten(grant, request.target) != Match::kNo; };
  const GrantIndex& grants = GrantsFor(caller);
  const CompiledGrant* const grant = grants.First(request.target, [&](const CompiledGrant& each) {
    return HasVerb(each, request.verb) && matches(each) && WhatIsMissing(each, request).empty();
  });
  if (grant == nullptr) return Refused(NearestMiss(grants.all(), request, ToText(request.target), matches));
  return {absl::OkStatus(), grant->role, grant->place + " may cover it"};
}

Decision Engine::Decide(const Caller& caller, const AccessRequest& request, const TargetFacts& facts) const {
  for (const CompiledGrant& deny : compiled_.denies) {
    if (DenyHits(deny, request) && (MatchesFacts(deny, facts) || MatchWritten(deny, request.target) == Match::kYes)) {
      return Refused(deny.place + " denies it");
    }
  }
  AccessRequest judged = request;
  judged.target.kind = facts.target.kind;
  const auto matches = [&](const CompiledGrant& grant) { return MatchesFacts(grant, facts); };
  const GrantIndex& grants = GrantsFor(caller);
  const CompiledGrant* const grant = grants.First(facts.target, [&](const CompiledGrant& each) {
    return HasVerb(each, request.verb) && matches(each) && WhatIsMissing(each, judged).empty();
  });
  if (grant == nullptr) return Refused(NearestMiss(grants.all(), judged, ToText(facts.target), matches));
  const std::string_view forbidden = WhyForbidden(facts, request.verb, compiled_.options);
  if (!forbidden.empty()) return Forbidden(*grant, forbidden);
  return {absl::OkStatus(), grant->role, grant->place + " covers it"};
}

bool Engine::CoversAsWritten(const Caller& caller, const AccessRequest& request) const {
  // Nothing that a deny might hit: the absence of a denied target is nobody's business.
  for (const CompiledGrant& deny : compiled_.denies) {
    if (DenyHits(deny, request) && MatchWritten(deny, request.target) != Match::kNo) return false;
  }
  return nullptr != GrantsFor(caller).First(request.target, [&](const CompiledGrant& grant) {
    return HasVerb(grant, request.verb) && MatchWritten(grant, request.target) == Match::kYes &&
           WhatIsMissing(grant, request).empty();
  });
}

Decision Engine::DecideAdmin(const Caller& caller, Verb verb) const {
  for (const CompiledGrant& deny : compiled_.denies) {
    const bool everything = deny.verbs.empty() && deny.targets.empty() && deny.scopes.empty() && deny.instance.empty();
    if (everything || HasVerb(deny, verb)) return Refused(deny.place + " denies it");
  }
  for (const auto& grant : GrantsFor(caller).all()) {
    if (HasVerb(*grant, verb)) return {absl::OkStatus(), grant->role, grant->place + " covers it"};
  }
  return Refused("no grant of the caller has the verb " + std::string(NameOf(verb)));
}

std::vector<GrantView> Engine::GrantsOf(const Caller& caller) const {
  std::vector<GrantView> views;
  for (const auto& grant : GrantsFor(caller).all()) {
    GrantView view;
    view.role = grant->role;
    for (const Verb verb : grant->verbs) view.verbs.emplace_back(NameOf(verb));
    for (const CompiledPattern& pattern : grant->targets) view.targets.push_back(pattern.text);
    view.scopes = grant->scopes;
    view.max_access_level = grant->max_access_level;
    view.max_ttl = grant->max_ttl.value_or(Duration(0));
    view.self_extending = grant->self_extending;
    views.push_back(std::move(view));
  }
  return views;
}

std::shared_ptr<const Policy> Policy::DenyAll() {
  static const auto* const kDenyAll =
      new std::shared_ptr<const Policy>(std::make_shared<const Engine>(CompiledPolicy{"none", {}, {}, {}, {}}));
  return *kDenyAll;
}

}  // namespace tokenbroker
