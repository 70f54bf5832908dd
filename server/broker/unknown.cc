// Tokens at GitLab that bear our tag without a row: who runs the broker lists them, and then adopts or revokes exactly
// what was listed.

#include <algorithm>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/broker/core.h"
#include "server/broker/permits.h"
#include "server/domain/marker.h"

namespace tokenbroker {
namespace {

constexpr Duration kReadFor = seconds(30);
constexpr int kPage = 1000;

std::string_view MethodOf(const UnknownChoice& choice) { return choice.revoke ? "RevokeUnknownTokens" : "AdoptTokens"; }

absl::Status CountDiffers(std::int64_t expected, std::size_t actual) {
  return Error(absl::StatusCode::kFailedPrecondition, "COUNT_DIFFERS",
               "there are " + std::to_string(actual) + " such tokens now, not " + std::to_string(expected) +
                   "; nothing was done. List them again")
      .Precondition("COUNT", "unknownTokens", "must be as many as expected")
      .Meta("count", std::to_string(actual));
}

absl::Status TooManyAtOnce(std::string field, std::int64_t count) {
  const std::string rule = "at most " + std::to_string(kMostUnknownAtOnce) + " tokens a call";
  return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
               field + ": is " + std::to_string(count) + "; " + rule)
      .Field(std::move(field), rule + ": list them and name them in parts");
}

absl::Status CheckChoice(const UnknownChoice& choice) {
  if (choice.upstream_ids.size() > static_cast<std::size_t>(kMostUnknownAtOnce)) {
    return TooManyAtOnce("upstream_ids", static_cast<std::int64_t>(choice.upstream_ids.size()));
  }
  if (!choice.upstream_ids.empty()) return absl::OkStatus();
  if (!choice.expected_count.has_value()) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID", "expected_count: is required without a list")
        .Field("expected_count", "is required if upstream_ids is empty");
  }
  if (*choice.expected_count > kMostUnknownAtOnce) return TooManyAtOnce("expected_count", *choice.expected_count);
  return absl::OkStatus();
}

// The unknown tokens that are as chosen, or more than are expected.
Task<absl::StatusOr<std::vector<UnknownToken>>> FindChosen(Core* core, UnknownChoice choice) {
  if (!choice.upstream_ids.empty()) {
    co_return co_await core->parts.ledger.FindUnknown(core->options.instance, choice.upstream_ids);
  }
  std::vector<UnknownToken> chosen;
  for (std::int64_t after = 0;;) {
    absl::StatusOr<UnknownList> page = co_await core->parts.ledger.ListUnknown(core->options.instance, after, kPage);
    if (!page.ok()) co_return page.status();
    for (UnknownToken& token : page->tokens) {
      after = token.upstream.id;
      if (choice.revoke || token.adoptable()) chosen.push_back(std::move(token));
    }
    if (page->tokens.size() < static_cast<std::size_t>(kPage)) co_return chosen;
  }
}

// OK if exactly what was chosen was found, and may be done.
absl::Status CheckChosen(const std::vector<UnknownToken>& chosen, const UnknownChoice& choice) {
  const auto expected = static_cast<std::int64_t>(choice.upstream_ids.size());
  if (chosen.size() != choice.upstream_ids.size() && expected > 0) return CountDiffers(expected, chosen.size());
  if (choice.expected_count.has_value() && *choice.expected_count != static_cast<int>(chosen.size())) {
    return CountDiffers(*choice.expected_count, chosen.size());
  }
  for (const UnknownToken& token : chosen) {
    if (choice.revoke || token.adoptable()) continue;
    return Error(absl::StatusCode::kFailedPrecondition, "TOKEN_NOT_ADOPTABLE",
                 "GitLab's token " + std::to_string(token.upstream.id) +
                     " cannot be adopted: its row has ended, or its target is not known; nothing was done")
        .Meta("upstream_id", std::to_string(token.upstream.id));
  }
  return absl::OkStatus();
}

// A target is needed to delete by its route; an administrator's goes by the id alone.
ResolvedTarget TargetOf(const UnknownToken& unknown, const std::string& instance) {
  return unknown.target.value_or(ResolvedTarget{instance, TargetKind::kUser, unknown.upstream.user_id, ""});
}

// The row it is to have. What GitLab has no description of belongs to whoever adopts it, and ends at GitLab's date.
TakeInSpec SpecOf(const Core& core, const Caller& caller, const UnknownToken& unknown, bool revoke) {
  TakeInSpec spec;
  Token& token = spec.token;
  token.id = unknown.marked;
  token.owner = unknown.owner.empty() ? caller.name : unknown.owner;
  token.display_name = DisplayNameIn(unknown.upstream.name);
  token.purpose = unknown.purpose;
  token.target = TargetOf(unknown, core.options.instance);
  token.scopes = unknown.scopes;
  token.access_level = unknown.access_level;
  token.create_time = unknown.create_time;
  const std::optional<Date>& date = unknown.upstream.expire_date;
  const WallTime end = date.has_value() ? MidnightOf(*date) : core.parts.ledger.Now();
  token.expire_time = std::min(unknown.expire_time.value_or(end), end);
  token.last_used_time = unknown.last_used_time;
  spec.made = unknown.upstream;
  spec.actor = caller.name;
  spec.revoke = revoke;
  return spec;
}

// Whether it is at GitLab what it was when it was listed.
Task<absl::Status> CheckUnchanged(Core* core, CallContext call, std::string caller, UnknownToken unknown) {
  SlotRequest request = PermitFor(Lane::kResolve, std::move(caller), TargetOf(unknown, core->options.instance));
  const absl::StatusOr<Slots::Slot> permit = co_await core->parts.slots.Acquire(call, std::move(request));
  if (!permit.ok()) co_return permit.status();
  UpstreamRef ref;
  ref.target = TargetOf(unknown, core->options.instance);
  ref.token_id = unknown.upstream.id;
  ref.user_id = unknown.upstream.user_id;
  const CallContext read(std::min(call.deadline(), core->parts.clock.Boot() + kReadFor));
  const absl::StatusOr<std::optional<UpstreamToken>> now = co_await core->parts.gitlab.GetToken(read, std::move(ref));
  if (!now.ok()) co_return now.status();
  if (now->has_value() && (*now)->active && (*now)->name == unknown.upstream.name) co_return absl::OkStatus();
  co_return Error(absl::StatusCode::kFailedPrecondition, "TOKEN_CHANGED",
                  "GitLab's token " + std::to_string(unknown.upstream.id) +
                      " is not there any more as it was listed; nothing was done. List them again")
      .Meta("upstream_id", std::to_string(unknown.upstream.id));
}

}  // namespace

Task<absl::StatusOr<Findings>> ListUnknownTokens(Core* core, Caller caller, std::int64_t after, int limit) {
  const absl::Status admitted = AdmitAdmin(*core, caller, "ListUnknownTokens", Verb::kReconcile);
  if (!admitted.ok()) co_return admitted;
  // One more says whether there are more.
  absl::StatusOr<UnknownList> list = co_await core->parts.ledger.ListUnknown(core->options.instance, after, limit + 1);
  if (!list.ok()) co_return list.status();
  Findings findings;
  findings.walk_time = list->pass;
  findings.total = list->total;
  findings.moved = core->reconciler.moved();
  for (UnknownToken& token : list->tokens) {
    findings.has_more = findings.unknown.size() == static_cast<std::size_t>(limit);
    if (findings.has_more) break;
    const std::int64_t id = token.upstream.id;
    findings.unknown.emplace(id, std::move(token));
  }
  co_return findings;
}

Task<absl::StatusOr<std::vector<Token>>> TakeInUnknown(Core* core, CallContext call, Caller caller,
                                                       UnknownChoice choice) {
  const absl::Status admitted = AdmitAdmin(*core, caller, MethodOf(choice), Verb::kReconcile);
  if (!admitted.ok()) co_return admitted;
  const absl::Status possible = CheckChoice(choice);
  if (!possible.ok()) co_return possible;
  const absl::StatusOr<std::vector<UnknownToken>> chosen = co_await FindChosen(core, choice);
  if (!chosen.ok()) co_return chosen.status();
  const absl::Status exact = CheckChosen(*chosen, choice);
  if (!exact.ok()) co_return exact;
  for (const UnknownToken& unknown : *chosen) {
    const absl::Status unchanged = co_await CheckUnchanged(core, call, caller.name, unknown);
    if (!unchanged.ok()) co_return unchanged;
  }
  std::vector<TakeInSpec> specs;
  for (const UnknownToken& unknown : *chosen) specs.push_back(SpecOf(*core, caller, unknown, choice.revoke));
  // All of them or none.
  absl::StatusOr<std::vector<Token>> tokens = co_await core->parts.ledger.TakeIn(std::move(specs));
  if (!tokens.ok()) co_return tokens.status();
  for (const Token& token : *tokens) {
    core->parts.log.Info(choice.revoke ? "unknown token to be revoked" : "token adopted",
                         {{"token", token.id},
                          {"caller", caller.name},
                          {"owner", token.owner},
                          {"upstream_id", token.upstream_id},
                          {"expires", FormatRfc3339(token.expire_time)}});
  }
  co_await core->reconciler.CountUnknown();
  core->lifecycle.Wake();
  co_return tokens;
}

}  // namespace tokenbroker
