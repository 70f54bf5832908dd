#include "server/rpc/convert.h"

#include <utility>
#include <vector>

#include "server/base/error.h"
#include "server/base/time_text.h"

namespace tokenbroker {
namespace {

// protobuf's own bounds: about 10,000 years for a duration, the years 1 to 9999 for a timestamp.
constexpr std::int64_t kDurationMaxSeconds = 315'576'000'000;
constexpr std::int64_t kTimestampMinSeconds = -62'135'596'800;
constexpr std::int64_t kTimestampMaxSeconds = 253'402'300'799;
constexpr int kNanosMax = 999'999'999;

// Far above what the broker allows, so that it can say of each entry what is wrong with it; and few enough that saying
// so costs nothing. A request has room for some ten thousand.
constexpr int kEntriesMax = 256;

using Violations = std::vector<FieldViolation>;

absl::Status ToStatus(const Violations& violations) {
  std::string message = violations[0].field + ": " + violations[0].description;
  if (violations.size() > 1) message += " (and " + std::to_string(violations.size() - 1) + " more)";
  Error error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID", message);
  // The builder's methods change it in place.
  for (const FieldViolation& each : violations) static_cast<Error&&>(error).Field(each.field, each.description);
  return error;
}

void ReadTarget(const v1::Target& proto, Target& target, Violations& violations) {
  target.instance = proto.instance();
  switch (proto.resource_case()) {
    case v1::Target::kUser:
      target.kind = TargetKind::kUser;
      target.ref = proto.user();
      return;
    case v1::Target::kProject:
      target.kind = TargetKind::kProject;
      target.ref = proto.project();
      return;
    case v1::Target::kGroup:
      target.kind = TargetKind::kGroup;
      target.ref = proto.group();
      return;
    case v1::Target::kServiceAccount:
      target.kind = TargetKind::kServiceAccount;
      target.ref = proto.service_account();
      return;
    case v1::Target::RESOURCE_NOT_SET:
      violations.push_back({"token.target", "is required: one of user, project, group and service_account"});
  }
}

void ReadExpiration(const v1::Token& token, CreateRequest& request, Violations& violations) {
  if (token.has_ttl()) {
    const auto& ttl = token.ttl();
    const bool signs_differ = (ttl.seconds() > 0 && ttl.nanos() < 0) || (ttl.seconds() < 0 && ttl.nanos() > 0);
    if (ttl.seconds() > kDurationMaxSeconds || ttl.seconds() < -kDurationMaxSeconds || ttl.nanos() > kNanosMax ||
        ttl.nanos() < -kNanosMax || signs_differ) {
      violations.push_back({"token.ttl", "is not a valid google.protobuf.Duration"});
      return;
    }
    request.ttl = seconds(ttl.seconds()) + Duration(ttl.nanos() / 1000);
  } else if (token.has_expire_time()) {
    request.expire_time = ToTime(token.expire_time());
    if (!request.expire_time.has_value()) {
      violations.push_back({"token.expire_time", "is not a valid google.protobuf.Timestamp"});
    }
  } else {
    violations.push_back({"token.expiration", "is required: one of ttl and expire_time"});
  }
}

void RefuseFloods(const v1::Token& token, Violations& violations) {
  const auto refuse = [&](int entries, const char* field) {
    if (entries <= kEntriesMax) return;
    violations.push_back({field, "has " + std::to_string(entries) + " entries; at most 16 are allowed"});
  };
  refuse(token.scopes_size(), "token.scopes");
  refuse(token.labels_size(), "token.labels");
}

// A token as it is to be: what a caller may set. Output-only fields are ignored (AIP-203): a token that was read can be
// changed and sent, and a field that a later version adds breaks no client.
void ReadSpec(const v1::Token& token, CreateRequest& request, Violations& violations) {
  ReadTarget(token.target(), request.target, violations);
  RefuseFloods(token, violations);
  ReadExpiration(token, request, violations);
  request.display_name = token.display_name();
  request.purpose = token.purpose();
  request.access_level = token.access_level();
  if (!violations.empty()) return;  // There may be a flood of the rest.
  request.scopes.assign(token.scopes().begin(), token.scopes().end());
  for (const auto& [key, value] : token.labels()) request.labels.emplace(key, value);
}

v1::TokenState ToProto(TokenState state) {
  switch (state) {
    case TokenState::kPending:
      return v1::TOKEN_STATE_PENDING;
    case TokenState::kActive:
      return v1::TOKEN_STATE_ACTIVE;
    case TokenState::kRevoking:
      return v1::TOKEN_STATE_REVOKING;
    case TokenState::kRevoked:
      return v1::TOKEN_STATE_REVOKED;
    case TokenState::kExpired:
      return v1::TOKEN_STATE_EXPIRED;
    case TokenState::kAbandoned:
      return v1::TOKEN_STATE_ABANDONED;
  }
  return v1::TOKEN_STATE_UNSPECIFIED;
}

void FromDuration(Duration duration, google::protobuf::Duration& out) {
  out.set_seconds(duration_cast<seconds>(duration).count());
  out.set_nanos(static_cast<std::int32_t>((duration % seconds(1)).count() * 1000));
}

void FromRequestedTarget(const Target& target, v1::Target& out) {
  out.set_instance(target.instance);
  switch (target.kind) {
    case TargetKind::kUser:
      out.set_user(target.ref);
      return;
    case TargetKind::kProject:
      out.set_project(target.ref);
      return;
    case TargetKind::kGroup:
      out.set_group(target.ref);
      return;
    case TargetKind::kServiceAccount:
      out.set_service_account(target.ref);
      return;
  }
}

v1::RevokeReason ToProto(RevokeReason reason) {
  switch (reason) {
    case RevokeReason::kNone:
      return v1::REVOKE_REASON_UNSPECIFIED;
    case RevokeReason::kRequested:
      return v1::REVOKE_REASON_REQUESTED;
    case RevokeReason::kTtl:
      return v1::REVOKE_REASON_TTL;
    case RevokeReason::kSuperseded:
      return v1::REVOKE_REASON_SUPERSEDED;
    case RevokeReason::kRotated:
      return v1::REVOKE_REASON_ROTATED;
    case RevokeReason::kPolicy:
      return v1::REVOKE_REASON_POLICY;
    case RevokeReason::kCallerGone:
      return v1::REVOKE_REASON_CALLER_GONE;
    case RevokeReason::kLateReply:
      return v1::REVOKE_REASON_LATE_REPLY;
    case RevokeReason::kMismatch:
      return v1::REVOKE_REASON_MISMATCH;
    case RevokeReason::kOrphan:
      return v1::REVOKE_REASON_ORPHAN;
    case RevokeReason::kUpstream:
      return v1::REVOKE_REASON_UPSTREAM;
  }
  return v1::REVOKE_REASON_UNSPECIFIED;
}

}  // namespace

absl::StatusOr<CreateRequest> ToCreateRequest(const v1::CreateTokenRequest& proto) {
  if (!proto.has_token()) return ToStatus({{"token", "is required"}});
  CreateRequest request;
  Violations violations;
  ReadSpec(proto.token(), request, violations);
  if (!violations.empty()) return ToStatus(violations);
  request.request_id = proto.request_id();
  request.validate_only = proto.validate_only();
  return request;
}

absl::StatusOr<AccessQuestion> ToAccessQuestion(const v1::CheckAccessRequest& proto) {
  AccessQuestion question;
  const std::optional<Verb> verb = proto.verb().empty() ? Verb::kCreate : ParseVerb(proto.verb());
  if (!verb.has_value()) {
    return ToStatus({{"verb", "is none of create, rotate, read, revoke, reconcile and audit"}});
  }
  question.verb = *verb;
  if (question.verb == Verb::kReconcile || question.verb == Verb::kAudit) return question;
  if (!proto.has_token()) return ToStatus({{"token", "is required"}});
  Violations violations;
  if (MakesToken(question.verb)) {
    ReadSpec(proto.token(), question.request, violations);
  } else {
    ReadTarget(proto.token().target(), question.request.target, violations);
  }
  if (!violations.empty()) return ToStatus(violations);
  return question;
}

absl::StatusOr<TokenId> ToTokenId(const std::string& name) {
  std::optional<TokenId> id = ParseResourceName(name);
  if (id.has_value()) return *std::move(id);
  return ToStatus({{"name", "must be \"tokens/\" and 26 characters of [0-9a-z], as the broker gave it"}});
}

ListRequest ToListRequest(const v1::ListTokensRequest& proto) {
  return {proto.page_size(), proto.page_token(), proto.show_closed(), proto.filter(), proto.order_by()};
}

void FromTime(WallTime time, google::protobuf::Timestamp& out) {
  const std::int64_t micros = MicrosOf(time);
  std::int64_t whole = micros / 1'000'000;
  std::int64_t rest = micros % 1'000'000;
  if (rest < 0) {
    rest += 1'000'000;
    --whole;
  }
  out.set_seconds(whole);
  out.set_nanos(static_cast<std::int32_t>(rest * 1000));
}

std::optional<WallTime> ToTime(const google::protobuf::Timestamp& time) {
  if (time.seconds() > kTimestampMaxSeconds || time.seconds() < kTimestampMinSeconds || time.nanos() < 0 ||
      time.nanos() > kNanosMax) {
    return std::nullopt;
  }
  return WallTime(seconds(time.seconds()) + Duration(time.nanos() / 1000));
}

void FromTarget(const ResolvedTarget& target, v1::Target& out) {
  out.set_instance(target.instance);
  switch (target.kind) {
    case TargetKind::kUser:
      out.set_user(std::to_string(target.id));
      return;
    case TargetKind::kProject:
      out.set_project(target.path);
      return;
    case TargetKind::kGroup:
      out.set_group(target.path);
      return;
    case TargetKind::kServiceAccount:
      out.set_service_account(target.path);
      return;
  }
}

void FromToken(const Token& token, v1::Token& out) {
  if (!token.id.empty()) out.set_name(ResourceName(token.id));
  out.set_display_name(token.display_name);
  out.set_purpose(token.purpose);
  FromTarget(token.target, *out.mutable_target());
  for (const std::string& scope : token.scopes) out.add_scopes(scope);
  out.set_access_level(token.access_level);
  FromTime(token.expire_time, *out.mutable_expire_time());
  for (const auto& [key, value] : token.labels) (*out.mutable_labels())[key] = value;
  out.set_state(token.id.empty() ? v1::TOKEN_STATE_VALIDATED : ToProto(token.state));
  out.set_revoke_reason(ToProto(token.revoke_reason));
  out.set_owner("callers/" + token.owner);
  if (!token.predecessor.empty()) out.set_predecessor(ResourceName(token.predecessor));
  if (!token.successor.empty()) out.set_successor(ResourceName(token.successor));
  if (token.upstream_id != 0) {
    v1::UpstreamToken& upstream = *out.mutable_upstream();
    upstream.set_id(token.upstream_id);
    upstream.set_user_id(token.upstream_user_id);
    upstream.set_name(token.upstream_name);
    if (token.upstream_expire_date.has_value()) upstream.set_expire_date(FormatDate(*token.upstream_expire_date));
  }
  FromTime(token.create_time, *out.mutable_create_time());
  if (token.revoke_time.has_value()) FromTime(*token.revoke_time, *out.mutable_revoke_time());
  if (token.last_used_time.has_value()) FromTime(*token.last_used_time, *out.mutable_last_used_time());
  if (token.reconcile_time.has_value()) FromTime(*token.reconcile_time, *out.mutable_reconcile_time());
}

void FromSpec(const CreateRequest& spec, v1::Token& out) {
  out.set_display_name(spec.display_name);
  out.set_purpose(spec.purpose);
  FromRequestedTarget(spec.target, *out.mutable_target());
  for (const std::string& scope : spec.scopes) out.add_scopes(scope);
  out.set_access_level(spec.access_level);
  if (spec.ttl.has_value()) FromDuration(*spec.ttl, *out.mutable_ttl());
  if (spec.expire_time.has_value()) FromTime(*spec.expire_time, *out.mutable_expire_time());
  for (const auto& [key, value] : spec.labels) (*out.mutable_labels())[key] = value;
}

void FromCallerView(const CallerView& view, v1::Caller& out) {
  out.set_name("callers/" + view.caller.name);
  out.set_identity(view.caller.identity);
  out.set_policy_version(view.policy_version);
  for (const GrantView& grant : view.grants) {
    v1::Grant& added = *out.add_grants();
    added.set_role(grant.role);
    for (const std::string& verb : grant.verbs) added.add_verbs(verb);
    for (const std::string& target : grant.targets) added.add_targets(target);
    for (const std::string& scope : grant.scopes) added.add_scopes(scope);
    added.set_max_access_level(grant.max_access_level);
    FromDuration(grant.max_ttl, *added.mutable_max_ttl());
    added.set_self_extending(grant.self_extending);
    if (grant.min_ttl > Duration(0)) FromDuration(grant.min_ttl, *added.mutable_min_ttl());
    added.set_display_name(grant.display_name);
    for (const auto& [key, pattern] : grant.required_labels) (*added.mutable_required_labels())[key] = pattern;
    added.set_max_active(grant.max_active);
    added.set_creates_per_minute(grant.creates_per_minute);
    if (grant.not_after.has_value()) FromTime(*grant.not_after, *added.mutable_not_after());
    if (grant.max_chain_age.has_value()) FromDuration(*grant.max_chain_age, *added.mutable_max_chain_age());
  }
}

void FromAccessAnswer(const AccessAnswer& answer, v1::CheckAccessResponse& out) {
  out.set_allowed(answer.allowed);
  out.set_decision_id(answer.decision_id);
  out.set_reason(answer.reason);
  out.set_message(answer.message);
  out.set_policy_version(answer.policy_version);
  if (answer.allowed) {
    out.mutable_rule()->set_role(answer.rule.role);
    out.mutable_rule()->set_place(answer.rule.place);
    out.mutable_rule()->set_position(answer.rule.position);
  }
  if (answer.closest.has_value()) FromSpec(*answer.closest, *out.mutable_closest());
}

}  // namespace tokenbroker
