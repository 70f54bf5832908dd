// From the policy's decisions to what is told, logged, counted and kept.

#include <array>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/broker/core.h"

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

Decision JudgeAccess(const Policy& policy, const Caller& caller, Verb verb, const Token& token, WallTime now) {
  AccessRequest request;
  request.verb = verb;
  request.target = {token.target.instance, token.target.kind, std::to_string(token.target.id)};
  request.scopes = token.scopes;
  request.access_level = token.access_level;
  request.now = now;
  TargetFacts facts;
  facts.target = token.target;
  return policy.Decide(caller, request, facts);
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
  core.parts.log.Info("audit mode", {{"caller", caller.name},
                                     {"method", method},
                                     {"would_have", WouldHaveText(decision)},
                                     {"why", decision.detail},
                                     {"policy", policy.version()}});
}

std::string NoteRefusal(Core& core, const Caller& caller, std::string_view method, std::string_view what,
                        const Decision& decision, const Policy& policy) {
  const std::string reason = ReasonOf(decision.status);
  const std::string id = MakeDecisionId(core.parts.random);
  core.parts.metrics.Decided(false, reason);
  NoteWouldHave(core, caller, method, decision, policy);
  core.parts.log.Info("refused", {{"caller", caller.name},
                                  {"method", method},
                                  {"decision_id", id},
                                  {"reason", reason},
                                  {"request", what},
                                  {"why", decision.detail},
                                  {"policy", policy.version()}});
  std::string detail = what.empty() ? decision.detail : std::string(what) + ": " + decision.detail;
  core.parts.ledger.NoteRefusal(
      {caller.name, std::string(method), reason, std::move(detail), policy.version(), id, WouldHaveText(decision)});
  return id;
}

absl::Status Refuse(Core& core, const Caller& caller, std::string_view method, const AccessRequest& request,
                    const Decision& decision, const Policy& policy) {
  const std::string id = NoteRefusal(core, caller, method, WhatIsAsked(request), decision, policy);
  return WithMeta(decision.status, "decision_id", id);
}

}  // namespace tokenbroker
