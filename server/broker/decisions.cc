// From the policy's decisions to what is told, logged, counted and kept.

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_join.h"
#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/broker/core.h"
#include "server/policy/audited_request.h"

namespace tokenbroker {

AccessRequest AccessOf(const CreateRequest& request, Verb verb, WallTime now) {
  AccessRequest access;
  access.verb = verb;
  access.target = request.target;
  access.scopes = request.scopes;
  access.access_level = request.access_level;
  if (request.ttl.has_value()) access.ttl = *request.ttl;
  if (request.expire_time.has_value()) access.ttl = *request.expire_time - now;
  access.display_name = request.display_name;
  access.labels = request.labels;
  access.now = now;
  return access;
}

namespace {

AccessRequest AccessTo(const Token& token, Verb verb, WallTime now) {
  AccessRequest request;
  request.verb = verb;
  request.target = {token.target.instance, token.target.kind, std::to_string(token.target.id)};
  request.scopes = token.scopes;
  request.access_level = token.access_level;
  request.now = now;
  return request;
}

TargetFacts FactsThen(const Token& token) {
  TargetFacts facts;
  facts.target = token.target;
  return facts;
}

}  // namespace

Decision JudgeAccess(const Policy& policy, const Caller& caller, Verb verb, const Token& token, WallTime now) {
  return policy.Decide(caller, AccessTo(token, verb, now), FactsThen(token));
}

Decision JudgeAsMade(const Policy& policy, const Token& token, WallTime now) {
  return JudgeOn(policy, token, FactsThen(token), now);
}

Decision JudgeOn(const Policy& policy, const Token& token, const TargetFacts& facts, WallTime now) {
  const std::string& rule = token.owner_rule.empty() ? token.owner : token.owner_rule;
  const bool is_known = std::any_of(policy.callers().begin(), policy.callers().end(),
                                    [&rule](const CallerRule& each) { return each.name.text() == rule; });
  if (!is_known) return {NotGranted(), "the policy has no caller " + rule};
  AccessRequest request = AccessTo(token, Verb::kCreate, now);
  request.ttl = token.expire_time - token.create_time;
  request.display_name = token.display_name;
  request.labels = token.labels;
  return policy.Decide({token.owner, "", token.owner_rule, token.owner_captures}, request, facts);
}

Decision AbsentTarget() { return {NotGranted(), "the target does not exist or cannot be seen"}; }

absl::Status TargetNotFound(const Target& target) {
  return Error(absl::StatusCode::kNotFound, "TARGET_NOT_FOUND",
               "token.target: GitLab does not know " + ToText(target) + ", or the broker cannot see it")
      .Field("token.target", "does not exist at GitLab, or the broker cannot see it");
}

std::string MakeDecisionId(Random& random) {
  constexpr std::string_view kDigits = "0123456789abcdefghjkmnpqrstvwxyz";
  std::array<std::uint8_t, 10> bytes{};
  random.Fill(bytes);
  std::string id;
  for (const std::uint8_t byte : bytes) id += kDigits[byte % kDigits.size()];
  return id;
}

std::string WhatIsAsked(const AccessRequest& request) {
  if (request.verb == Verb::kReconcile || request.verb == Verb::kAudit) return std::string(NameOf(request.verb));
  std::string what = ToText(request.target);
  for (const std::string& scope : request.scopes) what += ' ' + scope;
  return what;
}

std::string WouldHaveText(const Decision& decision) {
  if (!decision.would_have.has_value()) return "";
  const RuleName& rule = decision.would_have->rule;
  std::string text = decision.would_have->allowed ? "allowed by " : "denied by ";
  text += rule.place;
  if (!rule.position.empty()) text += " (" + rule.position + ")";
  return text;
}

void NoteWouldHave(Core& core, const Caller& caller, std::string_view method, const Decision& decision,
                   const Policy& policy) {
  if (!decision.would_have.has_value()) return;
  core.parts.metrics.WouldHaveDecided(decision.would_have->allowed);
  const std::optional<std::int64_t> suppressed = core.audit_mode_lines.Take(caller.name, core.parts.clock.Boot());
  if (!suppressed.has_value()) return;
  core.parts.log.Info("audit mode", {{"caller", caller.name},
                                     {"method", method},
                                     {"would_have", WouldHaveText(decision)},
                                     {"why", decision.detail},
                                     {"policy", policy.version()},
                                     {"suppressed", *suppressed}});
}

namespace {

// What the closest allowed request has otherwise: "scopes read_api, ttl 8h"; empty if there is none.
std::string ClosestText(const AccessRequest& asked, const std::optional<AccessRequest>& closest) {
  if (!closest.has_value()) return "";
  std::string text;
  const auto add = [&text](bool differs, std::string_view field, const std::string& value) {
    if (!differs) return;
    text += text.empty() ? "" : ", ";
    text += field;
    text += ' ';
    text += value;
  };
  add(closest->target.ref != asked.target.ref, "target", ToText(closest->target));
  add(closest->scopes != asked.scopes, "scopes", absl::StrJoin(closest->scopes, " "));
  add(closest->access_level != asked.access_level, "access_level", std::to_string(closest->access_level));
  add(closest->ttl != asked.ttl, "ttl", FormatDuration(closest->ttl));
  add(closest->display_name != asked.display_name, "display_name", closest->display_name);
  add(closest->labels != asked.labels, "labels", absl::StrJoin(closest->labels, " ", absl::PairFormatter("=")));
  return text;
}

// The policy has nothing against what only a quota stands against.
bool IsThePolicys(std::string_view reason) { return reason == "NOT_GRANTED" || reason == "TARGET_FORBIDDEN"; }

}  // namespace

NotedRefusal NoteRefusal(Core& core, const Caller& caller, std::string_view method, const AccessRequest& request,
                         const TargetFacts* facts, const Decision& decision, const Policy& policy) {
  const std::string what = WhatIsAsked(request);
  const std::string reason = ReasonOf(decision.status);
  NotedRefusal noted;
  noted.id = MakeDecisionId(core.parts.random);
  if (IsThePolicys(reason)) noted.closest = policy.Closest(caller, request, facts);
  const std::string closest = ClosestText(request, noted.closest);
  core.parts.metrics.Decided(false, reason);
  NoteWouldHave(core, caller, method, decision, policy);
  const std::optional<std::int64_t> suppressed = core.decision_lines.Take(caller.name, core.parts.clock.Boot());
  if (suppressed.has_value()) {
    core.parts.log.Info("refused", {{"caller", caller.name},
                                    {"method", method},
                                    {"decision_id", noted.id},
                                    {"reason", reason},
                                    {"request", what},
                                    {"why", decision.detail},
                                    {"closest", closest},
                                    {"policy", policy.version()},
                                    {"suppressed", *suppressed}});
  }
  core.parts.ledger.NoteRefusal({caller.name, std::string(method), reason, what + ": " + decision.detail,
                                 policy.version(), noted.id, WouldHaveText(decision), closest,
                                 AuditedRequestJson(caller, request, facts)});
  return noted;
}

absl::Status Refuse(Core& core, const Caller& caller, std::string_view method, const AccessRequest& request,
                    const TargetFacts* facts, const Decision& decision, const Policy& policy) {
  const NotedRefusal noted = NoteRefusal(core, caller, method, request, facts, decision, policy);
  return WithMeta(decision.status, "decision_id", noted.id);
}

}  // namespace tokenbroker
