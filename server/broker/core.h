#pragma once
// What the use cases share. Runs on the executor alone.

#include "server/base/event.h"
#include "server/base/task_scope.h"
#include "server/broker/broker.h"
#include "server/broker/issuer_watch.h"
#include "server/broker/lifecycle.h"
#include "server/broker/page_token.h"
#include "server/broker/reconcile.h"
#include "server/broker/steady_clock.h"
#include "server/broker/targets.h"
#include "server/broker/undertaker.h"
#include "server/gitlab/observed_gitlab.h"
#include "server/telemetry/line_budget.h"

namespace tokenbroker {

// Log lines a minute about the decisions on one caller's requests, and as many about what rules in audit mode would
// have changed.
inline constexpr int kMaxDecisionLines = 20;

struct Core {
  Core(BrokerParts the_parts, BrokerOptions the_options)
      : gitlab(the_parts.gitlab, the_parts.slots, the_parts.clock, the_parts.log),
        steady_clock(the_parts.clock, the_parts.ledger),
        parts(With(the_parts, gitlab, &steady_clock)),
        options(std::move(the_options)),
        scope(parts.executor),
        targets(parts.executor, parts.clock, parts.gitlab, parts.slots, options.facts_max_age),
        issuer(parts),
        undertaker(parts, options.name, options.settle),
        lifecycle(parts, options.name, options.settle, scope, undertaker),
        reconciler(parts, options, issuer, lifecycle),
        pages(parts.random),
        stop(parts.executor) {}

  ObservedGitLab gitlab;  // In `parts`, too.
  SteadyClock steady_clock;
  BrokerParts parts;
  BrokerOptions options;
  TaskScope scope;
  Targets targets;
  IssuerWatch issuer;
  Undertaker undertaker;
  Lifecycle lifecycle;
  Reconciler reconciler;
  PageTokens pages;
  CallerLineBudgets decision_lines{kMaxDecisionLines};
  CallerLineBudgets audit_mode_lines{kMaxDecisionLines};
  Event stop;  // Set by a drain: the jobs end.

 private:
  static BrokerParts With(const BrokerParts& parts, GitLab& gitlab, SteadyClock* steady_clock) {
    return {parts.executor, parts.clock,    parts.random,  parts.ledger, gitlab,
            parts.slots,    parts.policies, parts.metrics, parts.log,    steady_clock};
  }
};

// What is asked of the policy for a create.
AccessRequest AccessOf(const CreateRequest& request, Verb verb, WallTime now);

// The decision on a target that GitLab does not show, and what the caller is told of it if a grant covers it.
Decision AbsentTarget();
absl::Status TargetNotFound(const Target& target);

// What rules in audit mode would have decided, in words: "denied by denies[1]"; empty if they would not differ.
std::string WouldHaveText(const Decision& decision);
// Counts and logs it, if there is something.
void NoteWouldHave(Core& core, const Caller& caller, std::string_view method, const Decision& decision,
                   const Policy& policy);

// A refusal of the policy as it was noted. The id ties what the caller is told to the log and the audit.
struct NotedRefusal {
  std::string id;
  std::optional<AccessRequest> closest;  // See Policy::Closest.
};
// Counts a refusal, logs it and gives it to the audit. `facts`: what GitLab said of the target; null if nothing.
NotedRefusal NoteRefusal(Core& core, const Caller& caller, std::string_view method, const AccessRequest& request,
                         const TargetFacts* facts, const Decision& decision, const Policy& policy);
// The same; returns what the caller is told.
absl::Status Refuse(Core& core, const Caller& caller, std::string_view method, const AccessRequest& request,
                    const TargetFacts* facts, const Decision& decision, const Policy& policy);
// A request's target and scopes in words, or its verb if it is about none.
std::string WhatIsAsked(const AccessRequest& request);
// A decision's id: 10 characters of [0-9a-z], at random.
std::string MakeDecisionId(Random& random);

// Whether the caller may use this verb of AdminService: NOT_GRANTED, counted and noted, if not.
absl::Status AdmitAdmin(Core& core, const Caller& caller, std::string_view method, Verb verb);

// What today's policy says of a verb (kRead, kRevoke) on another caller's token, judged by where its target was when
// the token was made.
Decision JudgeAccess(const Policy& policy, const Caller& caller, Verb verb, const Token& token, WallTime now);

// What today's policy says if the owner of a token asked for it now, on its target as it was then.
Decision JudgeAsMade(const Policy& policy, const Token& token, WallTime now);
// The same, on its target as `facts` say.
Decision JudgeOn(const Policy& policy, const Token& token, const TargetFacts& facts, WallTime now);

// The use cases; see broker.h.
Task<absl::StatusOr<std::vector<AuditRecord>>> ReadAuditPage(Core* core, Caller caller, AuditQuery query);
Task<absl::StatusOr<Findings>> ListUnknownTokens(Core* core, Caller caller, std::int64_t after, int limit);
Task<absl::StatusOr<std::vector<Token>>> TakeInUnknown(Core* core, CallContext call, Caller caller,
                                                       UnknownChoice choice);
Task<absl::StatusOr<ViolationPage>> ListPolicyViolations(Core* core, Caller caller, int page_size,
                                                         std::string page_token);
Task<absl::StatusOr<std::vector<Token>>> RevokePolicyViolations(Core* core, Caller caller, std::vector<TokenId> ids);
Task<absl::StatusOr<Created>> CreateToken(Core* core, CallContext call, Caller caller, CreateRequest request);
Task<absl::StatusOr<AccessAnswer>> CheckAccess(Core* core, CallContext call, Caller caller, AccessQuestion question);
Task<absl::StatusOr<Token>> GetToken(Core* core, Caller caller, TokenId id);
Task<absl::StatusOr<ListPage>> ListTokens(Core* core, Caller caller, ListRequest request);
Task<absl::StatusOr<Token>> RevokeToken(Core* core, CallContext call, Caller caller, TokenId id);

// The record of a token that the caller may see by this verb (kRead, kRevoke): its own, or one on a target where a
// grant says so. Else NOT_FOUND, reason TOKEN_NOT_FOUND, the same as for a token that never was.
Task<absl::StatusOr<TokenRecord>> FindVisible(Core* core, Caller caller, TokenId id, Verb verb);

}  // namespace tokenbroker
