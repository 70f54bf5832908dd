// Tokens at GitLab that bear our tag without a row: who runs the broker lists them, and then adopts or revokes exactly
// what was listed.

#include <algorithm>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/broker/core.h"
#include "server/broker/made_of.h"
#include "server/domain/marker.h"

namespace tokenbroker {
namespace {

constexpr Duration kReadFor = seconds(30);

std::string_view MethodOf(const UnknownChoice& choice) { return choice.revoke ? "RevokeUnknownTokens" : "AdoptTokens"; }

absl::Status CountDiffers(std::int64_t expected, std::size_t actual) {
  return Error(absl::StatusCode::kFailedPrecondition, "COUNT_DIFFERS",
               "there are " + std::to_string(actual) + " such tokens now, not " + std::to_string(expected) +
                   "; nothing was done. List them again")
      .Precondition("COUNT", "unknownTokens", "must be as many as expected")
      .Meta("count", std::to_string(actual));
}

// What was chosen, as the last walk found it.
absl::StatusOr<std::vector<UnknownToken>> Choose(const Findings& findings, const UnknownChoice& choice) {
  std::vector<UnknownToken> chosen;
  if (choice.upstream_ids.empty()) {
    if (!choice.expected_count.has_value()) {
      return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID", "expected_count: is required without a list")
          .Field("expected_count", "is required if upstream_ids is empty");
    }
    for (const auto& [id, token] : findings.unknown) {
      if (choice.revoke || token.adoptable()) chosen.push_back(token);
    }
  }
  for (const std::int64_t id : choice.upstream_ids) {
    const auto found = findings.unknown.find(id);
    if (found != findings.unknown.end()) chosen.push_back(found->second);
  }
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
  return chosen;
}

// A target is needed to delete by its route; an administrator's goes by the id alone.
ResolvedTarget TargetOf(const UnknownToken& unknown, const std::string& instance) {
  return unknown.target.value_or(ResolvedTarget{instance, TargetKind::kUser, unknown.upstream.user_id, ""});
}

// The row it is to have. What GitLab has no description of belongs to whoever adopts it, and ends at GitLab's date.
TakeInSpec SpecOf(const Core& core, const Caller& caller, const UnknownToken& unknown, bool revoke) {
  const UpstreamToken& upstream = unknown.upstream;
  TakeInSpec spec;
  Token& token = spec.token;
  token.id = unknown.marked;
  token.owner = unknown.owner.empty() ? caller.name : unknown.owner;
  token.display_name = DisplayNameIn(upstream.name);
  token.purpose = unknown.purpose;
  token.target = TargetOf(unknown, core.options.instance);
  token.scopes = upstream.scopes;
  token.access_level = upstream.access_level;
  token.create_time = upstream.created_at;
  const WallTime end = upstream.expires_at.has_value() ? MidnightOf(*upstream.expires_at) : core.parts.ledger.Now();
  token.expire_time = std::min(unknown.expire_time.value_or(end), end);
  token.last_used_time = upstream.last_used_at;
  spec.made = MadeOf(upstream);
  spec.actor = caller.name;
  spec.revoke = revoke;
  return spec;
}

// Whether it is at GitLab what it was when it was listed.
Task<absl::Status> CheckUnchanged(Core* core, CallContext call, UnknownToken unknown) {
  const absl::StatusOr<Slots::Slot> slot = co_await core->parts.slots.Acquire(call, Lane::kResolve);
  if (!slot.ok()) co_return slot.status();
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

Task<absl::StatusOr<Findings>> ListUnknownTokens(Core* core, Caller caller) {
  const absl::Status admitted = AdmitAdmin(*core, caller, "ListUnknownTokens", Verb::kReconcile);
  if (!admitted.ok()) co_return admitted;
  co_return core->reconciler.findings();
}

Task<absl::StatusOr<std::vector<Token>>> TakeInUnknown(Core* core, CallContext call, Caller caller,
                                                       UnknownChoice choice) {
  const absl::Status admitted = AdmitAdmin(*core, caller, MethodOf(choice), Verb::kReconcile);
  if (!admitted.ok()) co_return admitted;
  const absl::StatusOr<std::vector<UnknownToken>> chosen = Choose(core->reconciler.findings(), choice);
  if (!chosen.ok()) co_return chosen.status();
  for (const UnknownToken& unknown : *chosen) {
    const absl::Status unchanged = co_await CheckUnchanged(core, call, unknown);
    if (!unchanged.ok()) co_return unchanged;
  }
  std::vector<TakeInSpec> specs;
  for (const UnknownToken& unknown : *chosen) specs.push_back(SpecOf(*core, caller, unknown, choice.revoke));
  // All of them or none.
  absl::StatusOr<std::vector<Token>> tokens = co_await core->parts.ledger.TakeIn(std::move(specs));
  if (!tokens.ok()) co_return tokens.status();
  for (const Token& token : *tokens) {
    core->reconciler.Forget(token.upstream_id);
    core->parts.log.Info(choice.revoke ? "unknown token to be revoked" : "token adopted",
                         {{"token", token.id},
                          {"caller", caller.name},
                          {"owner", token.owner},
                          {"upstream_id", token.upstream_id},
                          {"expires", FormatRfc3339(token.expire_time)}});
  }
  core->lifecycle.Wake();
  co_return tokens;
}

}  // namespace tokenbroker
