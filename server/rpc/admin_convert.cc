#include "server/rpc/admin_convert.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <set>

#include "absl/strings/escaping.h"
#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/rpc/convert.h"

namespace tokenbroker {
namespace {

absl::Status Wrong(const std::string& field, const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID", field + ": " + what).Field(field, what);
}

v1::UnknownReason ToProto(StrangerKind kind) {
  switch (kind) {
    case StrangerKind::kNoRow:
      return v1::UNKNOWN_REASON_NO_ROW;
    case StrangerKind::kAbandoned:
      return v1::UNKNOWN_REASON_ABANDONED;
    case StrangerKind::kSecond:
      return v1::UNKNOWN_REASON_SECOND;
    case StrangerKind::kClosed:
      return v1::UNKNOWN_REASON_CLOSED;
  }
  return v1::UNKNOWN_REASON_UNSPECIFIED;
}

void FromUnknown(const UnknownToken& unknown, v1::UnknownToken& out) {
  const MadeUpstream& token = unknown.upstream;
  v1::UpstreamToken& upstream = *out.mutable_upstream();
  upstream.set_id(token.id);
  upstream.set_user_id(token.user_id);
  upstream.set_name(token.name);
  if (token.expire_date.has_value()) upstream.set_expire_date(FormatDate(*token.expire_date));
  out.set_marked_name(ResourceName(unknown.marked));
  out.set_reason(ToProto(unknown.kind));
  out.set_adoptable(unknown.adoptable());
  if (unknown.target.has_value()) FromTarget(*unknown.target, *out.mutable_target());
  if (!unknown.owner.empty()) out.set_owner("callers/" + unknown.owner);
  out.set_purpose(unknown.purpose);
  for (const std::string& scope : unknown.scopes) out.add_scopes(scope);
  out.set_access_level(unknown.access_level);
  if (unknown.expire_time.has_value()) FromTime(*unknown.expire_time, *out.mutable_expire_time());
  FromTime(unknown.create_time, *out.mutable_create_time());
  if (unknown.last_used_time.has_value()) FromTime(*unknown.last_used_time, *out.mutable_last_used_time());
  FromTime(unknown.find_time, *out.mutable_find_time());
}

}  // namespace

absl::StatusOr<UnknownPage> ToUnknownPage(const v1::ListUnknownTokensRequest& request) {
  constexpr std::int32_t kMost = 1000;
  if (request.page_size() < 0) return Wrong("page_size", "is negative");
  UnknownPage page;
  page.size = request.page_size() == 0 ? 50 : std::min(request.page_size(), kMost);
  const std::string& text = request.page_token();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), page.after);
  if (!text.empty() && (error != std::errc() || end != text.data() + text.size())) {
    return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID", "page_token: is none of this list's")
        .Field("page_token", "must be the next_page_token of the page before");
  }
  return page;
}

void FromFindings(const Findings& findings, const UnknownPage& page, v1::ListUnknownTokensResponse& out) {
  if (findings.walk_time.has_value()) FromTime(*findings.walk_time, *out.mutable_walk_time());
  for (const auto& [id, unknown] : findings.unknown) FromUnknown(unknown, *out.add_unknown_tokens());
  if (findings.has_more) out.set_next_page_token(std::to_string(findings.unknown.rbegin()->first));
  out.set_total_size(static_cast<std::int32_t>(findings.total));
  if (page.after != 0) return;
  for (const MovedTarget& moved : findings.moved) {
    v1::MovedTarget& added = *out.add_moved_targets();
    FromTarget(moved.target, *added.mutable_target());
    added.set_path(moved.path);
  }
}

absl::StatusOr<std::vector<TokenId>> ToTokenIds(const v1::RevokePolicyViolationsRequest& request) {
  constexpr int kMost = 250;  // Of the largest tokens there are: 3 MiB.
  if (request.names().empty()) return Wrong("names", "at least one is required");
  if (request.names_size() > kMost) return Wrong("names", "are more than 250");
  std::vector<TokenId> ids;
  std::set<TokenId> seen;
  for (int i = 0; i < request.names_size(); ++i) {
    std::optional<TokenId> id = ParseResourceName(request.names(i));
    const std::string field = "names[" + std::to_string(i) + "]";
    if (!id.has_value()) return Wrong(field, "must be tokens/{id}, with the 26 characters of an id");
    if (!seen.insert(*id).second) return Wrong(field, "is there twice");
    ids.push_back(*std::move(id));
  }
  return ids;
}

void FromViolationPage(const ViolationPage& page, v1::ListPolicyViolationsResponse& out) {
  for (const PolicyViolation& each : page.violations) {
    v1::PolicyViolation& violation = *out.add_violations();
    FromToken(each.token, *violation.mutable_token());
    violation.set_detail(each.detail);
  }
  out.set_next_page_token(page.next_page_token);
  out.set_policy_version(page.policy_version);
}

absl::StatusOr<AuditQuery> ToAuditQuery(const v1::ExportAuditRequest& request) {
  AuditQuery query;
  if (request.has_after()) {
    if (request.after().writer().empty()) return Wrong("after.writer", "is required");
    if (request.after().seq() < 0) return Wrong("after.seq", "is negative");
    query.after = AuditPosition{request.after().writer(), request.after().seq()};
  }
  if (request.has_from_time()) {
    query.from_time = ToTime(request.from_time());
    if (!query.from_time.has_value()) return Wrong("from_time", "is not a valid google.protobuf.Timestamp");
  }
  return query;
}

void FromAuditRecord(const AuditRecord& record, v1::AuditRecord& out) {
  out.set_writer(record.writer);
  out.set_seq(record.seq);
  FromTime(record.event.time, *out.mutable_time());
  out.set_kind(record.event.kind);
  out.set_token(AuditedToken(record.event));
  out.set_caller(AuditedCaller(record.event));
  out.set_body(record.event.body);
  out.set_previous_hash(absl::BytesToHexString(record.previous_hash));
  out.set_hash(absl::BytesToHexString(record.hash));
}

}  // namespace tokenbroker
