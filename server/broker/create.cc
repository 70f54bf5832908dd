// Minting a token. Steps 1 to 5 are those of docs/life_of_a_create.md.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/broker/core.h"
#include "server/broker/made_of.h"
#include "server/broker/permits.h"
#include "server/broker/replay.h"
#include "server/broker/upstream_clock.h"
#include "server/broker/validate.h"
#include "server/domain/expiry.h"
#include "server/domain/marker.h"
#include "server/policy/audited_request.h"

namespace tokenbroker {
namespace {

// A create with less time than this would most likely end as a token that nobody hears of.
constexpr Duration kLeastTimeLeft = seconds(2);
constexpr Duration kLargestSkew = minutes(15);
// A call without a deadline waits no longer for GitLab before its intent is written.
constexpr Duration kLongestWait = minutes(1);
// What was read of a token that a repeat is to replace: it may be used meanwhile.
constexpr Duration kRepeatMaxAge = seconds(1);

// `latest` is the last date that GitLab allows. Says how long the token can live, in the words of the request.
absl::Status ExpirationTooFar(Core& core, const CreateRequest& request, Date latest, std::string_view advice = "") {
  const std::string ttl = FormatDuration(LongestTtl(latest, core.parts.ledger.Now()));
  const std::string end = FormatRfc3339(MidnightOf(latest));
  const std::string field = request.ttl.has_value() ? "token.ttl" : "token.expire_time";
  const std::string rule = "this GitLab ends tokens at " + end + " at the latest; the longest ttl now is " + ttl;
  return Error(absl::StatusCode::kInvalidArgument, "EXPIRATION_TOO_FAR", field + ": " + rule + std::string(advice))
      .Field(field, rule)
      .Meta("max_ttl", ttl)
      .Meta("max_expire_time", end);
}

// GitLab's date for this token, or how long it could live.
absl::StatusOr<Date> UpstreamDate(Core& core, const CreateRequest& request, const ResolvedTarget& target,
                                  WallTime expire_time) {
  const Duration skew = MeasuredSkew(core.parts).value_or(Duration(0));
  const DateLimits limits = core.issuer.Limits(target, UpstreamNowOf(core.parts));
  Date date = UpstreamDateFor(expire_time, skew);
  if (limits.latest.has_value()) {
    const std::optional<Date> within = UpstreamDateWithin(expire_time, skew, *limits.latest);
    if (!within.has_value()) return ExpirationTooFar(core, request, *limits.latest);
    date = *within;
  }
  if (limits.likely_latest.has_value()) {
    date = std::min(date, UpstreamDateWithin(expire_time, skew, *limits.likely_latest).value_or(date));
  }
  return date;
}

// The error for GitLab's rejection. Where GitLab names the last date that it allows, the next create keeps to it.
absl::Status RejectionOf(Core& core, const Refused& rejected, const CreateRequest& request, const Token& asked,
                         Date asked_date) {
  if (!rejected.latest_date.has_value() || *rejected.latest_date >= asked_date) return rejected.why;
  const Date latest = *rejected.latest_date;
  core.issuer.RecordRejectedDate(asked.target, latest, UpstreamNowOf(core.parts));
  const bool fits = MidnightOf(latest) >= asked.expire_time;
  return ExpirationTooFar(core, request, latest,
                          fits ? ". The limit was not known before: the same request, sent again, keeps to it" : "");
}

absl::Status CheckSkew(const BrokerParts& parts) {
  const Duration skew = MeasuredSkew(parts).value_or(Duration(0));
  if (skew <= kLargestSkew && skew >= -kLargestSkew) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "CLOCK_SKEW",
               "the clocks of GitLab and of this broker are more than 15 minutes apart; no token is made until they "
               "agree")
      .Precondition("CLOCK", "gitlab", "the clocks must agree within 15 minutes");
}

std::optional<RequestKey> KeyOf(const CreateRequest& request) {
  if (request.request_id.empty()) return std::nullopt;
  std::string id = request.request_id;
  std::transform(id.begin(), id.end(), id.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return RequestKey{std::move(id), DigestOf("CreateToken", request)};
}

Token TokenFor(Core& core, const Caller& caller, const CreateRequest& request, const TargetFacts& facts) {
  Token token;
  token.id = MakeSortableId(core.parts.ledger.Now(), core.parts.random);
  token.owner = caller.name;
  token.owner_rule = caller.rule;
  token.owner_captures = caller.captures;
  token.display_name = request.display_name;
  token.purpose = request.purpose;
  token.target = facts.target;
  token.scopes = request.scopes;
  token.access_level = request.access_level;
  token.labels = request.labels;
  token.upstream_name = UpstreamNameOf(request.display_name, core.options.name, token.id);
  return token;
}

// Aggregates are put together in plain functions, see the rules in task.h.
Grounds GroundsOf(const Decision& decision, const Policy& policy, const Caller& caller, const AccessRequest& access,
                  const TargetFacts& facts) {
  return {decision.rule.role, policy.version(), WouldHaveText(decision), AuditedRequestJson(caller, access, &facts)};
}

IntentSpec SpecFor(Token token, const CreateRequest& request, std::optional<RequestKey> key,
                   std::optional<TokenId> replaces, Grounds grounds, QuotaLimits limits) {
  return {std::move(token),   request.ttl, request.expire_time, std::move(key), std::move(replaces),
          std::move(grounds), limits};
}

// The policy has said yes, and the ledger that there is no room: a refusal for the log and the audit, too.
absl::Status NoRoom(Core& core, const Caller& caller, const AccessRequest& access, const TargetFacts& facts,
                    Decision decision, const Policy& policy, const absl::Status& why) {
  const std::string reason = ReasonOf(why);
  if (reason != "QUOTA_EXCEEDED" && reason != "RATE_EXCEEDED") return why;
  decision.status = why;
  decision.detail = std::string(why.message());
  decision.would_have.reset();  // Noted already.
  return Refuse(core, caller, "CreateToken", access, &facts, decision, policy);
}

MintSpec MintFor(const Token& asked, Date date) {
  return {asked.target, asked.upstream_name, UpstreamDescriptionOf(asked.owner, asked.expire_time, asked.purpose),
          asked.scopes, asked.access_level,  date};
}

Created CreatedOf(Token token, Secret secret) { return {std::move(token), std::move(secret)}; }

absl::Status NoCallerAnyMore() {
  return Error(absl::StatusCode::kPermissionDenied, "UNKNOWN_CALLER", "who calls is no caller of the policy");
}

// What is wrong with a 201, in words; empty if it is what was asked for.
std::string MismatchOf(const UpstreamToken& made, const Token& asked, Date asked_date) {
  const auto sorted = [](std::vector<std::string> scopes) {
    std::sort(scopes.begin(), scopes.end());
    return scopes;
  };
  if (made.name != asked.upstream_name) return "its name differs";
  if (asked.target.kind == TargetKind::kUser && made.user_id != asked.target.id) return "it belongs to another user";
  const bool names_resource = !made.resource_type.empty() || made.resource_id != 0;
  if (names_resource && (made.resource_type != NameOf(asked.target.kind) || made.resource_id != asked.target.id)) {
    return "it is for another resource";
  }
  if (sorted(made.scopes) != sorted(asked.scopes)) return "its scopes differ";
  if (made.access_level != asked.access_level) return "its access level differs";
  if (!made.expires_at.has_value()) return "it has no end";
  if (*made.expires_at > asked_date) return "its end is later";
  return "";
}

absl::Status OutcomeUnknown(const DurableIntent& intent, Duration retry_after, std::string_view what) {
  return Error(absl::StatusCode::kAborted, "UPSTREAM_OUTCOME_UNKNOWN",
               "GitLab may have made the token, but its answer did not arrive (" + std::string(what) +
                   "); the broker will find and revoke it. Repeat with the same request_id")
      .RetryAfter(retry_after)
      .Meta("token", ResourceName(intent.token().id));
}

// Step 4 for a 201 that must not be handed out: its end is decided durably, and begins now.
Task<void> TakeBack(Core* core, TokenId id, RevokeReason reason, MadeUpstream made) {
  const absl::StatusOr<Token> revoking = co_await core->parts.ledger.StartRevoking(id, reason, std::move(made));
  if (!revoking.ok()) {
    core->parts.log.Error("revocation not recorded", {{"token", id}});  // PENDING still: the looks find it.
  }
  core->lifecycle.Wake();
}

// Step 4: what the 201 was, and what the ledger says to it.
Task<absl::StatusOr<Created>> Settle(Core* core, CallContext call, Token asked, Date asked_date, Minted minted,
                                     absl::Status if_unknown) {
  const UpstreamToken& made = minted.token;
  const std::string mismatch = MismatchOf(made, asked, asked_date);
  if (!mismatch.empty()) {
    co_await TakeBack(core, asked.id, RevokeReason::kMismatch, MadeOf(made));
    co_return Error(absl::StatusCode::kFailedPrecondition, "UPSTREAM_MISMATCH",
                    "GitLab made another token than was asked for (" + mismatch + "); it is being revoked")
        .Meta("token", ResourceName(asked.id));
  }
  if (!made.active) {
    co_await TakeBack(core, asked.id, RevokeReason::kMismatch, MadeOf(made));
    co_return Error(absl::StatusCode::kFailedPrecondition, "CLOCK_SKEW",
                    "GitLab takes the new token for expired already: its clock or the instance's limit disagrees with "
                    "ours; the token is being revoked")
        .Meta("token", ResourceName(asked.id));
  }
  if (call.cancelled()) {
    co_await TakeBack(core, asked.id, RevokeReason::kCallerGone, MadeOf(made));
    co_return absl::CancelledError("the caller left before the token was made; it is being revoked");
  }
  const WallTime expire_time = std::min(asked.expire_time, MidnightOf(*made.expires_at));
  absl::StatusOr<Token> token = co_await core->parts.ledger.Activate(asked.id, MadeOf(made), expire_time);
  if (!token.ok()) {
    // Nothing was promised, so the secret must not leave. The row is PENDING for the looks; the token goes at once.
    asked.upstream_id = made.id;
    asked.upstream_user_id = made.user_id;
    const bool deleted = co_await core->undertaker.DeleteOnly(asked);
    core->parts.log.Error(
        "token not recorded",
        {{"token", asked.id}, {"deleted_at_gitlab", deleted}, {"error", std::string(token.status().message())}});
    co_return if_unknown;
  }
  if (token->state == TokenState::kActive) {
    core->lifecycle.WakeBy(token->expire_time);
  } else {
    core->lifecycle.Wake();
    co_return Error(absl::StatusCode::kAborted, "UPSTREAM_TOO_LATE",
                    "the token was given up, or its revocation asked for, before GitLab answered; it is being revoked")
        .Meta("token", ResourceName(asked.id));
  }
  // 5. Answer. The only copy of the secret leaves here.
  co_return CreatedOf(*std::move(token), std::move(minted.secret));
}

}  // namespace

Task<absl::StatusOr<Created>> CreateToken(Core* core, CallContext call, Caller caller, CreateRequest request) {
  BrokerParts& parts = core->parts;

  // 1. Whatever can wait or fail harmlessly: the request as written, the target, a slot, the policy.
  const absl::Status valid = ValidateCreate(request, core->options.instance, parts.ledger.Now());
  if (!valid.ok()) co_return valid;
  request.target.instance = core->options.instance;
  AccessRequest access = AccessOf(request, Verb::kCreate, parts.ledger.Now());
  const std::shared_ptr<const Policy> written_policy = parts.policies.Current();
  const Decision written = written_policy->DecideAsWritten(caller, access);
  if (!written.status.ok()) co_return Refuse(*core, caller, "CreateToken", access, nullptr, written, *written_policy);

  const std::optional<RequestKey> key = KeyOf(request);
  const CallContext waiting = call.Until(parts.clock.Boot() + kLongestWait);
  std::optional<TargetFacts> facts;
  std::optional<TokenId> replaces;
  std::optional<Slots::Slot> slot;
  // What has waited for the slot for so long that it is not true any more is asked for again.
  while (!slot.has_value()) {
    std::optional<RequestRecord> record;
    if (key.has_value()) {
      absl::StatusOr<std::optional<RequestRecord>> found = co_await parts.ledger.FindRequest(caller.name, *key);
      if (!found.ok()) co_return found.status();
      record = *std::move(found);
    }
    absl::StatusOr<TargetFacts> resolved = co_await core->targets.Resolve(waiting, caller, request.target);
    if (!resolved.ok()) {
      if (ReasonOf(resolved.status()) != "UPSTREAM_NOT_FOUND") co_return resolved.status();
      if (!written_policy->CoversAsWritten(caller, access)) {
        co_return Refuse(*core, caller, "CreateToken", access, nullptr, AbsentTarget(), *written_policy);
      }
      co_return TargetNotFound(request.target);
    }
    facts = *std::move(resolved);
    const bool is_repeat = record.has_value();
    if (is_repeat) {
      absl::StatusOr<TokenId> replaced = co_await JudgeRepeat(core, waiting, *std::move(record));
      if (!replaced.ok()) co_return replaced.status();
      replaces = *std::move(replaced);
    }
    const BootTime judged = parts.clock.Boot();
    const absl::Status skew = CheckSkew(parts);
    if (!skew.ok()) co_return skew;
    SlotRequest permit = PermitFor(Lane::kCreate, caller.name, facts->target);
    absl::StatusOr<Slots::Slot> acquired = co_await parts.slots.Acquire(waiting, std::move(permit));
    if (!acquired.ok()) co_return acquired.status();
    const bool is_judged_now = !is_repeat || parts.clock.Boot() - judged <= kRepeatMaxAge;
    if (core->targets.IsFresh(request.target) && is_judged_now) slot.emplace(*std::move(acquired));
  }
  // The decision is that of this instant: its time, its policy, and who the caller is by it.
  if (caller.recognise_again) {
    absl::StatusOr<Caller> again = caller.recognise_again();
    if (!again.ok()) co_return again.status();
    if (again->name != caller.name) co_return NoCallerAnyMore();
    caller = *std::move(again);
  }
  access.now = parts.ledger.Now();

  const std::shared_ptr<const Policy> policy = parts.policies.Current();
  const Decision decision = policy->Decide(caller, access, *facts);
  if (!decision.status.ok()) co_return Refuse(*core, caller, "CreateToken", access, &*facts, decision, *policy);
  NoteWouldHave(*core, caller, "CreateToken", decision, *policy);
  const WallTime expected_end = request.ttl.has_value() ? parts.ledger.Now() + *request.ttl : *request.expire_time;
  const absl::StatusOr<Date> expected_date = UpstreamDate(*core, request, facts->target, expected_end);
  if (!expected_date.ok()) co_return expected_date.status();

  Token token = TokenFor(*core, caller, request, *facts);
  if (request.validate_only) {
    const absl::Status room =
        co_await parts.ledger.CheckQuota(caller.name, decision.rule.role, decision.limits, replaces);
    if (!room.ok()) co_return NoRoom(*core, caller, access, *facts, decision, *policy, room);
    parts.metrics.Decided(true, "GRANTED");
    token.id.clear();
    token.upstream_name.clear();
    token.create_time = parts.ledger.Now();
    token.expire_time = expected_end;
    co_return CreatedOf(std::move(token), Secret());
  }
  const absl::Status in_time = call.Check(parts.clock.Boot());
  if (!in_time.ok()) co_return in_time;
  if (call.deadline() != kNever && call.deadline() - parts.clock.Boot() < kLeastTimeLeft) {
    co_return Error(absl::StatusCode::kDeadlineExceeded, "DEADLINE_TOO_SHORT",
                    "less than 2 s of the call's deadline are left; nothing was sent to GitLab");
  }

  // 2. Remember.
  IntentSpec spec = SpecFor(std::move(token), request, key, replaces,
                            GroundsOf(decision, *policy, caller, access, *facts), decision.limits);
  absl::StatusOr<DurableIntent> begun = co_await parts.ledger.Begin(std::move(spec));
  if (!begun.ok()) co_return NoRoom(*core, caller, access, *facts, decision, *policy, begun.status());
  parts.metrics.Decided(true, "GRANTED");
  if (replaces.has_value()) core->lifecycle.Wake();
  DurableIntent intent = *std::move(begun);
  const Token asked = intent.token();
  const absl::Status if_unknown =
      OutcomeUnknown(intent, asked.create_time + kGiveUpAfter - parts.ledger.Now(), "no answer");
  const absl::StatusOr<Date> date = UpstreamDate(*core, request, asked.target, asked.expire_time);
  if (!date.ok()) {
    (void)co_await parts.ledger.Abandon(asked.id, "the instance's limit");
    co_return date.status();
  }

  // 3. Act, once. From here on nobody's leaving changes what we do.
  MintSpec mint = MintFor(asked, *date);
  Ended<Minted> end = co_await parts.gitlab.Mint(call.Detached(), std::move(intent), std::move(mint));
  slot->Release();  // What follows is the ledger's: let the next call through.

  // 4. Settle.
  if (const auto* refused = std::get_if<Refused>(&end)) {
    const absl::Status why = RejectionOf(*core, *refused, request, asked, *date);
    const absl::Status abandoned = co_await parts.ledger.Abandon(asked.id, std::string(refused->why.message()));
    if (!abandoned.ok()) parts.log.Warn("refusal not recorded", {{"token", asked.id}});  // The looks close it.
    co_return why;
  }
  if (const auto* unknown = std::get_if<Unknown>(&end)) {
    parts.log.Warn("outcome unknown", {{"token", asked.id}, {"error", std::string(unknown->why.message())}});
    core->lifecycle.Wake();
    co_return if_unknown;
  }
  absl::StatusOr<Created> created =
      co_await Settle(core, call, asked, *date, std::get<Minted>(std::move(end)), if_unknown);
  if (created.ok()) {
    parts.log.Info("token made", {{"token", asked.id},
                                  {"caller", caller.name},
                                  {"target", ToText(asked.target)},
                                  {"upstream_id", created->token.upstream_id},
                                  {"expires", FormatRfc3339(created->token.expire_time)}});
  }
  co_return created;
}

}  // namespace tokenbroker
