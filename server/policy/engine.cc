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

// The words for the log: of all grants, the one that came nearest. Nearer is a later step that failed.
class NearestMiss {
 public:
  // `what` puts the words together, which is dear: only for a miss that is nearer than all before.
  template <typename What>
  void Note(int step, const CompiledGrant& grant, const What& what) {
    if (step <= step_) return;
    step_ = step;
    text_ = grant.place + " does not grant " + what();
  }
  std::string Text() && { return step_ == 0 ? "no grant is bound to the caller" : std::move(text_); }

 private:
  int step_ = 0;
  std::string text_;
};

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

const std::vector<std::shared_ptr<const CompiledGrant>>& Engine::GrantsFor(const Caller& caller) const {
  static const auto* const kNone = new std::vector<std::shared_ptr<const CompiledGrant>>;
  const auto found = compiled_.grants.find(caller.name);
  return found == compiled_.grants.end() ? *kNone : found->second;
}

Decision Engine::DecideAsWritten(const Caller& caller, const AccessRequest& request) const {
  for (const CompiledGrant& deny : compiled_.denies) {
    if (DenyHits(deny, request) && MatchWritten(deny, request.target) == Match::kYes) {
      return Refused(deny.place + " denies it");
    }
  }
  NearestMiss miss;
  for (const auto& grant : GrantsFor(caller)) {
    if (!HasVerb(*grant, request.verb)) {
      miss.Note(1, *grant, [&] { return "the verb " + std::string(NameOf(request.verb)); });
    } else if (MatchWritten(*grant, request.target) == Match::kNo) {
      miss.Note(2, *grant, [&] { return ToText(request.target); });
    } else if (std::string missing = WhatIsMissing(*grant, request); !missing.empty()) {
      miss.Note(3, *grant, [&] { return std::move(missing); });
    } else {
      return {absl::OkStatus(), grant->role, grant->place + " may cover it"};
    }
  }
  return Refused(std::move(miss).Text());
}

Decision Engine::Decide(const Caller& caller, const AccessRequest& request, const TargetFacts& facts) const {
  for (const CompiledGrant& deny : compiled_.denies) {
    if (DenyHits(deny, request) && (MatchesFacts(deny, facts) || MatchWritten(deny, request.target) == Match::kYes)) {
      return Refused(deny.place + " denies it");
    }
  }
  AccessRequest judged = request;
  judged.target.kind = facts.target.kind;
  NearestMiss miss;
  for (const auto& grant : GrantsFor(caller)) {
    if (!HasVerb(*grant, request.verb)) {
      miss.Note(1, *grant, [&] { return "the verb " + std::string(NameOf(request.verb)); });
    } else if (!MatchesFacts(*grant, facts)) {
      miss.Note(2, *grant, [&] { return ToText(facts.target); });
    } else if (std::string missing = WhatIsMissing(*grant, judged); !missing.empty()) {
      miss.Note(3, *grant, [&] { return std::move(missing); });
    } else {
      const std::string_view forbidden = WhyForbidden(facts, request.verb, compiled_.options);
      if (!forbidden.empty()) return Forbidden(*grant, forbidden);
      return {absl::OkStatus(), grant->role, grant->place + " covers it"};
    }
  }
  return Refused(std::move(miss).Text());
}

bool Engine::CoversAsWritten(const Caller& caller, const AccessRequest& request) const {
  // Nothing that a deny might hit: the absence of a denied target is nobody's business.
  for (const CompiledGrant& deny : compiled_.denies) {
    if (DenyHits(deny, request) && MatchWritten(deny, request.target) != Match::kNo) return false;
  }
  const auto& grants = GrantsFor(caller);
  return std::any_of(grants.begin(), grants.end(), [&](const auto& grant) {
    return HasVerb(*grant, request.verb) && MatchWritten(*grant, request.target) == Match::kYes &&
           WhatIsMissing(*grant, request).empty();
  });
}

Decision Engine::DecideAdmin(const Caller& caller, Verb verb) const {
  for (const CompiledGrant& deny : compiled_.denies) {
    const bool everything = deny.verbs.empty() && deny.targets.empty() && deny.scopes.empty() && deny.instance.empty();
    if (everything || HasVerb(deny, verb)) return Refused(deny.place + " denies it");
  }
  for (const auto& grant : GrantsFor(caller)) {
    if (HasVerb(*grant, verb)) return {absl::OkStatus(), grant->role, grant->place + " covers it"};
  }
  return Refused("no grant of the caller has the verb " + std::string(NameOf(verb)));
}

std::vector<GrantView> Engine::GrantsOf(const Caller& caller) const {
  std::vector<GrantView> views;
  for (const auto& grant : GrantsFor(caller)) {
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
