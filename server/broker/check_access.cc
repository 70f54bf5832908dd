// Explaining a decision: the same questions to the policy as a create asks, and nothing is made.

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/broker/core.h"
#include "server/broker/validate.h"

namespace tokenbroker {
namespace {

bool IsAdmin(Verb verb) { return verb == Verb::kReconcile || verb == Verb::kAudit; }

absl::Status Validate(const AccessQuestion& question, std::string_view instance, WallTime now) {
  if (IsAdmin(question.verb)) return absl::OkStatus();
  if (MakesToken(question.verb)) return ValidateCreate(question.request, instance, now);
  return ValidateTarget(question.request.target, instance);
}

// A request as it was asked, with what the closest allowed one has else.
CreateRequest Bent(CreateRequest asked, const AccessRequest& access, const AccessRequest& closest) {
  asked.target = closest.target;
  asked.scopes = closest.scopes;
  asked.access_level = closest.access_level;
  asked.display_name = closest.display_name;
  asked.labels = closest.labels;
  if (closest.ttl != access.ttl) {
    asked.ttl = closest.ttl;
    asked.expire_time.reset();
  }
  return asked;
}

// Notes the decision, and says what the caller may know of it.
AccessAnswer AnswerFor(Core& core, const Caller& caller, const CreateRequest& request, const AccessRequest& access,
                       const TargetFacts* facts, const Decision& decision, const Policy& policy) {
  AccessAnswer answer;
  answer.policy_version = policy.version();
  answer.allowed = decision.status.ok();
  if (!answer.allowed) {
    answer.reason = ReasonOf(decision.status);
    answer.message = std::string(decision.status.message());
    NotedRefusal noted = NoteRefusal(core, caller, "CheckAccess", access, facts, decision, policy);
    answer.decision_id = std::move(noted.id);
    if (noted.closest.has_value()) answer.closest = Bent(request, access, *noted.closest);
    return answer;
  }
  answer.reason = "GRANTED";
  answer.decision_id = MakeDecisionId(core.parts.random);
  // Where the operator keeps the file is not the caller's business.
  answer.rule = decision.rule;
  answer.rule.position = decision.rule.position.substr(decision.rule.position.rfind('/') + 1);
  core.parts.metrics.Decided(true, answer.reason);
  NoteWouldHave(core, caller, "CheckAccess", decision, policy);
  const std::optional<std::int64_t> suppressed = core.decision_lines.Take(caller.name, core.parts.clock.Boot());
  if (!suppressed.has_value()) return answer;
  core.parts.log.Info("would be granted", {{"caller", caller.name},
                                           {"decision_id", answer.decision_id},
                                           {"request", WhatIsAsked(access)},
                                           {"why", decision.detail},
                                           {"policy", policy.version()},
                                           {"suppressed", *suppressed}});
  return answer;
}

}  // namespace

Task<absl::StatusOr<AccessAnswer>> CheckAccess(Core* core, CallContext call, Caller caller, AccessQuestion question) {
  const WallTime now = core->parts.ledger.Now();
  CreateRequest& request = question.request;
  const absl::Status valid = Validate(question, core->options.instance, now);
  if (!valid.ok()) co_return valid;
  const std::shared_ptr<const Policy> policy = core->parts.policies.Current();
  if (IsAdmin(question.verb)) {
    const Decision decision = policy->DecideAdmin(caller, question.verb, now);
    co_return AnswerFor(*core, caller, request, AccessOf(request, question.verb, now), nullptr, decision, *policy);
  }
  request.target.instance = core->options.instance;
  const AccessRequest access = AccessOf(request, question.verb, now);
  Decision decision = policy->DecideAsWritten(caller, access);

  // GitLab is asked of a target only if the caller could have it asked by a create as well. What a denial tells then is
  // what other creates would tell.
  std::optional<TargetFacts> facts;
  if (policy->MayReach(caller, access)) {
    const absl::StatusOr<TargetFacts> found = co_await core->targets.Resolve(call, caller, request.target);
    if (found.ok()) {
      facts = *found;
    } else if (decision.status.ok()) {
      if (ReasonOf(found.status()) != "UPSTREAM_NOT_FOUND") co_return found.status();
      if (policy->CoversAsWritten(caller, access)) co_return TargetNotFound(request.target);
      decision = AbsentTarget();
    }
  }
  if (decision.status.ok() && facts.has_value()) decision = policy->Decide(caller, access, *facts);
  const TargetFacts* const known = facts.has_value() ? &*facts : nullptr;
  co_return AnswerFor(*core, caller, request, access, known, decision, *policy);
}

}  // namespace tokenbroker
