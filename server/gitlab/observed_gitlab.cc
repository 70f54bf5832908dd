#include "server/gitlab/observed_gitlab.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <variant>

#include "server/base/error.h"
#include "server/domain/expiry.h"

namespace tokenbroker {
namespace {

// What a call's deadline cuts off sooner shows nothing of GitLab: a caller with short deadlines holds nobody back.
constexpr Duration kLeastTimeToRespond = seconds(5);

bool HadNoResponse(const absl::Status& status) { return ReasonOf(status) == "UPSTREAM_UNAVAILABLE"; }

// ISSUER_DEAD was GitLab's response when it was first said; while it is, nothing else is sent. Any other failure was
// not sent, or is not about GitLab.
bool HadResponse(const absl::Status& status) {
  constexpr std::array<std::string_view, 6> kReasons = {"UPSTREAM_RATE_LIMITED", "UPSTREAM_INVALID",
                                                        "UPSTREAM_NOT_FOUND",    "ISSUER_NOT_ALLOWED",
                                                        "ISSUER_DEAD",           "TARGET_MOVED"};
  return status.ok() || std::find(kReasons.begin(), kReasons.end(), ReasonOf(status)) != kReasons.end();
}

template <typename T>
absl::Status StatusOf(const Ended<T>& end) {
  if (const auto* refused = std::get_if<Refused>(&end)) return refused->why;
  if (const auto* unknown = std::get_if<Unknown>(&end)) return unknown->why;
  return absl::OkStatus();
}

}  // namespace

void ObservedGitLab::Record(const std::string& target, const CallContext& call, BootTime began,
                            const absl::Status& status) {
  if (HadResponse(status)) return RecordResponse(target);
  if (!HadNoResponse(status)) return;
  const BootTime now = clock_.Boot();
  if (call.deadline() <= now && now - began < kLeastTimeToRespond) return;
  RecordFailure(target, status);
}

void ObservedGitLab::RecordResponse(const std::string& target) {
  if (slots_.RecordResponse(target) != CircuitBreaker::Change::kClosed) return;
  log_.Info("GitLab responds again", {{"target", target}});
}

void ObservedGitLab::RecordFailure(const std::string& target, const absl::Status& status) {
  const CircuitBreaker::Change change = slots_.RecordFailure(target);
  if (change == CircuitBreaker::Change::kOpened) {
    log_.Error("GitLab does not respond: it is sent one request a second", {{"error", std::string(status.message())}});
  } else if (change == CircuitBreaker::Change::kTargetOpened) {
    log_.Warn("a target does not respond: it is asked at growing intervals",
              {{"target", target}, {"error", std::string(status.message())}});
  }
}

Task<Ended<Minted>> ObservedGitLab::Mint(CallContext call, DurableIntent intent, MintSpec spec) {
  const std::string target = SlotTarget(spec.target);
  const BootTime send_before = intent.begun() + kSendWindow;
  Ended<Minted> end = co_await real_.Mint(std::move(call), std::move(intent), std::move(spec));
  const absl::Status status = StatusOf(end);
  // One that the ledger's commit has made too late was not sent.
  const bool may_be_late = std::holds_alternative<Refused>(end) && clock_.Boot() >= send_before;
  if (HadResponse(status)) RecordResponse(target);
  if (HadNoResponse(status) && !may_be_late) RecordFailure(target, status);
  co_return end;
}

Task<Ended<GitLab::Deleted>> ObservedGitLab::Revoke(CallContext call, UpstreamRef ref) {
  const std::string target = SlotTarget(ref.target);
  Ended<Deleted> end = co_await real_.Revoke(std::move(call), std::move(ref));
  const absl::Status status = StatusOf(end);
  if (HadResponse(status)) RecordResponse(target);
  if (HadNoResponse(status)) RecordFailure(target, status);
  co_return end;
}

Task<absl::StatusOr<std::optional<UpstreamToken>>> ObservedGitLab::GetToken(CallContext call, UpstreamRef ref) {
  const std::string target = SlotTarget(ref.target);
  const BootTime began = clock_.Boot();
  absl::StatusOr<std::optional<UpstreamToken>> token = co_await real_.GetToken(call, std::move(ref));
  Record(target, call, began, token.status());
  co_return token;
}

Task<absl::StatusOr<bool>> ObservedGitLab::ConfirmNotFound(CallContext call, UpstreamRef ref) {
  const std::string target = SlotTarget(ref.target);
  const BootTime began = clock_.Boot();
  absl::StatusOr<bool> confirmed = co_await real_.ConfirmNotFound(call, std::move(ref));
  Record(target, call, began, confirmed.status());
  co_return confirmed;
}

Task<absl::StatusOr<std::vector<UpstreamToken>>> ObservedGitLab::ListTokens(CallContext call, UpstreamQuery query) {
  const std::string target = query.whole_instance ? "" : SlotTarget(query.target);
  const BootTime began = clock_.Boot();
  absl::StatusOr<std::vector<UpstreamToken>> tokens = co_await real_.ListTokens(call, std::move(query));
  Record(target, call, began, tokens.status());
  co_return tokens;
}

Task<absl::StatusOr<TargetFacts>> ObservedGitLab::Resolve(CallContext call, Target target) {
  const std::string name = SlotTarget(target);
  const BootTime began = clock_.Boot();
  absl::StatusOr<TargetFacts> facts = co_await real_.Resolve(call, std::move(target));
  Record(name, call, began, facts.status());
  co_return facts;
}

Task<absl::StatusOr<ResolvedTarget>> ObservedGitLab::TargetOf(CallContext call, std::string instance,
                                                              std::int64_t user_id) {
  const std::string target = "user:" + std::to_string(user_id);
  const BootTime began = clock_.Boot();
  absl::StatusOr<ResolvedTarget> found = co_await real_.TargetOf(call, std::move(instance), user_id);
  Record(target, call, began, found.status());
  co_return found;
}

Task<absl::StatusOr<IssuerFacts>> ObservedGitLab::CheckIssuer(CallContext call) {
  const BootTime began = clock_.Boot();
  absl::StatusOr<IssuerFacts> facts = co_await real_.CheckIssuer(call);
  Record("", call, began, facts.status());
  co_return facts;
}

}  // namespace tokenbroker
