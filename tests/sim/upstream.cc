#include "tests/sim/upstream.h"

#include <algorithm>
#include <utility>

#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/domain/expiry.h"

namespace tokenbroker::sim {
namespace {

constexpr Duration kChangeEndsAfter = seconds(60);

absl::Status Unavailable(const char* why) { return Error(absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", why); }

absl::Status NotFound() { return Error(absl::StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", "404 Not Found"); }

absl::Status Forbidden() { return Error(absl::StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED", "403 Forbidden"); }

absl::Status Moved() { return Error(absl::StatusCode::kFailedPrecondition, "TARGET_MOVED", "301 Moved Permanently"); }

Ended<Minted> LostMint(absl::Status why) { return Unknown{std::move(why)}; }
Ended<Minted> RejectedMint(absl::Status why) { return Refused{std::move(why)}; }
Ended<GitLab::Deleted> LostDelete(absl::Status why) { return Unknown{std::move(why)}; }
Ended<GitLab::Deleted> RejectedDelete(absl::Status why) { return Refused{std::move(why)}; }

// The response to a POST that was carried out, and what is wrong with it.
Ended<Minted> Response(const FakeGitLab& gitlab, std::int64_t id, int fault) {
  Minted minted;
  minted.secret = Secret("glpat-sim-" + std::to_string(id));
  minted.token = gitlab.token(id);
  minted.token.active = fault != 0;
  if (fault == 1) minted.token.scopes.push_back("sudo");
  if (fault == 2) minted.token.name += " (copy)";
  if (fault == 3) minted.token.resource_id += minted.token.resource_type.empty() ? 0 : 1;
  return minted;
}

}  // namespace

WallTime Upstream::FloorToSecond(WallTime time) { return std::chrono::floor<std::chrono::seconds>(time); }

Upstream::Way Upstream::Foreign() {
  if (plant_ == Plant::kDateOfAnybody) {
    time_ = UpstreamTime{sky_.world.Now() + sky_.draw.Between(-hours(24 * 12), hours(24 * 12)), process_.Boot()};
  }
  switch (sky_.draw.Below(3)) {
    case 0:
      return {Way::End::kForeign, Unavailable("200 without X-Gitlab-Meta")};
    case 1:
      return {Way::End::kNothing, Unavailable("302 without X-Gitlab-Meta")};
    default:
      return {Way::End::kNothing, Unavailable("404 without X-Gitlab-Meta")};
  }
}

Upstream::Way Upstream::Limited() {
  // Whatever the header says, the adapter makes two minutes of it at most (PauseAsked).
  const Duration retry = sky_.draw.Of<Duration>({Duration(0), seconds(1), minutes(1), minutes(2)});
  return {Way::End::kRejected,
          Error(absl::StatusCode::kResourceExhausted, "UPSTREAM_RATE_LIMITED", "429").RetryAfter(retry)};
}

Task<Upstream::Way> Upstream::Travel(CallContext call, Kind kind, std::optional<ResolvedTarget> target) {
  co_await process_.SleepUntil(process_.Boot() + sky_.draw.Between(Duration(100), milliseconds(60)));
  if (process_.dead()) co_return Way{Way::End::kNotSent, Unavailable("the process is dead")};
  const Weather& weather = sky_.weather;
  if (weather.down) co_return Way{Way::End::kNotSent, Unavailable("no connection")};
  if (sky_.draw.Percent(weather.in_front)) co_return Foreign();
  if (weather.troubled.has_value() && target.has_value() && weather.troubled->Is(*target)) {
    using How = TroubledTarget::How;
    const How how = weather.troubled->how;
    if (how == How::kRejects) {
      Respond();
      co_return Way{Way::End::kRejected, Forbidden()};
    }
    if (how == How::kFails || (how == How::kListFails && kind == Kind::kList)) {
      Respond();
      co_return Way{Way::End::kNothing, Unavailable("500 Internal Server Error")};
    }
    if (how == How::kHangs) {
      const bool changes = kind == Kind::kPost || kind == Kind::kDelete;
      const BootTime limit = process_.Boot() + kChangeEndsAfter;
      co_await process_.SleepUntil(changes ? limit : std::min(limit, call.deadline()));
      co_return Way{Way::End::kNothing, Unavailable("no response")};
    }
  }
  if (sky_.draw.Percent(weather.limited)) co_return Limited();
  if (sky_.draw.Percent(weather.redirected)) {
    Respond();
    co_return Way{Way::End::kNothing, Moved()};
  }
  co_return Way{};
}

Task<Ended<Minted>> Upstream::Mint(CallContext call, DurableIntent intent, MintSpec spec) {
  std::optional<ResolvedTarget> target = spec.target;
  const Way way = co_await Travel(call, Kind::kPost, std::move(target));
  if (way.end == Way::End::kNotSent || way.end == Way::End::kRejected) co_return RejectedMint(way.why);
  if (way.end != Way::End::kArrived) co_return LostMint(way.why);
  if (process_.Boot() - intent.begun() > kSendWindow) co_return RejectedMint(Unavailable("too late to send"));
  Respond();
  if (IsHidden(spec.target.kind)) co_return RejectedMint(NotFound());
  if (spec.target.kind == TargetKind::kUser && !sky_.is_admin()) co_return RejectedMint(Forbidden());

  const Weather& weather = sky_.weather;
  Draw& draw = sky_.draw;
  if (draw.Percent(weather.refused)) co_return RejectedMint(Forbidden());
  PostOrigin post = {server_, intent.token().id, intent.begun(),
                     intent.token().expire_time - intent.token().create_time};
  auto made = std::make_shared<std::optional<std::int64_t>>();
  const auto make = [sky = &sky_, spec, post](bool duplicate) { return sky->Make(spec, post, duplicate); };
  const auto carry_out = [make, made] { *made = make(false); };
  Duration takes = draw.Between(milliseconds(1), milliseconds(60));
  bool heard = true;
  if (draw.Percent(weather.late)) {
    sky_.Later(draw.Of<Duration>({seconds(30), minutes(5), hours(2)}), carry_out);
    heard = false;
  } else if (draw.Percent(weather.twice)) {
    carry_out();
    heard = draw.Percent(50);
    sky_.Later(draw.Between(milliseconds(1), seconds(100)), [make, heard] { make(heard); });
  } else if (draw.Percent(weather.lost)) {
    if (draw.Percent(60)) carry_out();
    heard = false;
  } else if (draw.Percent(weather.slow)) {
    takes = draw.Between(seconds(1), seconds(59));
    sky_.Later(draw.Between(Duration(1), takes), carry_out);
  } else {
    carry_out();
  }
  // What nobody answers is given up after up to a minute.
  if (!heard) takes = draw.Percent(50) ? takes : draw.Between(seconds(1), seconds(60));
  const int fault = draw.Percent(weather.wrong) ? draw.Below(4) : 4;
  co_await process_.SleepUntil(process_.Boot() + takes);
  if (process_.dead() || !heard || !made->has_value()) co_return LostMint(Unavailable("no response"));
  Respond();
  co_return Response(sky_.gitlab, **made, fault);
}

void Upstream::LetHolderRotate(const UpstreamRef& ref) {
  if (!sky_.IsLive(ref.token_id)) return;
  if (sky_.gitlab.token(ref.token_id).scopes == std::vector<std::string>{"api"}) sky_.Rotate(ref.token_id);
}

bool Upstream::IsHiddenByPlant(const UpstreamRef& ref) const {
  return plant_ == Plant::kRouteByOldRights && !admin_when_checked_ && ref.target.kind == TargetKind::kProject &&
         sky_.removed_members.contains(ref.token_id);
}

Task<Ended<GitLab::Deleted>> Upstream::Revoke(CallContext call, UpstreamRef ref) {
  std::optional<ResolvedTarget> target = ref.target;
  const Way way = co_await Travel(call, Kind::kDelete, std::move(target));
  if (way.end == Way::End::kNotSent || way.end == Way::End::kRejected) co_return RejectedDelete(way.why);
  if (way.end == Way::End::kForeign && plant_ == Plant::kBelievesAnybody) co_return Deleted{};
  if (way.end != Way::End::kArrived) co_return LostDelete(way.why);
  Draw& draw = sky_.draw;
  Respond();
  if (IsHidden(ref.target.kind) || IsHiddenByPlant(ref)) co_return RejectedDelete(NotFound());
  if (draw.Percent(sky_.weather.refused)) co_return RejectedDelete(Forbidden());
  const bool lost = draw.Percent(sky_.weather.lost);
  if (lost && draw.Percent(50)) co_return LostDelete(Unavailable("no response"));
  if (sky_.weather.holders_rotate && draw.Percent(30)) LetHolderRotate(ref);
  Ended<Deleted> end = co_await sky_.gitlab.Revoke(CallContext(), ref);
  if (std::holds_alternative<Deleted>(end)) sky_.NoteDeleted(ref.token_id);
  co_await process_.SleepUntil(process_.Boot() + draw.Between(milliseconds(1), milliseconds(60)));
  if (process_.dead() || lost) co_return LostDelete(Unavailable("no response"));
  co_return end;
}

Task<absl::StatusOr<std::optional<UpstreamToken>>> Upstream::GetToken(CallContext call, UpstreamRef ref) {
  std::optional<ResolvedTarget> target = ref.target;
  const Way way = co_await Travel(call, Kind::kGet, std::move(target));
  if (way.end != Way::End::kArrived) co_return way.why;
  if (sky_.draw.Percent(sky_.weather.lost)) co_return Unavailable("no response");
  Respond();
  if (IsHidden(ref.target.kind) || IsHiddenByPlant(ref)) co_return std::optional<UpstreamToken>();
  co_return co_await sky_.gitlab.GetToken(CallContext(), std::move(ref));
}

Task<absl::StatusOr<bool>> Upstream::ConfirmNotFound(CallContext call, UpstreamRef ref) {
  std::optional<ResolvedTarget> target = ref.target;
  const Way way = co_await Travel(call, Kind::kGet, std::move(target));
  if (way.end != Way::End::kArrived) co_return way.why;
  Respond();
  if (IsHiddenByPlant(ref) && sky_.is_admin()) co_return true;
  if (IsHidden(ref.target.kind)) co_return false;
  co_return co_await sky_.gitlab.ConfirmNotFound(CallContext(), std::move(ref));
}

Task<absl::StatusOr<std::vector<UpstreamToken>>> Upstream::ListTokens(CallContext call, UpstreamQuery query) {
  const bool of_target = !query.whole_instance && query.target.kind == TargetKind::kProject;
  std::optional<ResolvedTarget> target;
  if (!query.whole_instance) target = query.target;
  const Way way = co_await Travel(call, Kind::kList, std::move(target));
  if (way.end == Way::End::kForeign && plant_ == Plant::kBelievesAnybody) co_return std::vector<UpstreamToken>();
  if (way.end != Way::End::kArrived) co_return way.why;
  if (sky_.draw.Percent(sky_.weather.lost)) co_return Unavailable("no response");
  Respond();
  if (of_target && IsHidden(query.target.kind)) co_return NotFound();
  co_return co_await sky_.gitlab.ListTokens(CallContext(), std::move(query));
}

Task<absl::StatusOr<TargetFacts>> Upstream::Resolve(CallContext call, Target target) {
  std::optional<ResolvedTarget> known;
  const std::optional<std::int64_t> id = target.id().has_value() ? target.id() : sky_.ProjectId(target.ref);
  if (id.has_value()) known = ResolvedTarget{target.instance, target.kind, *id, ""};
  const Way way = co_await Travel(call, Kind::kGet, std::move(known));
  if (way.end != Way::End::kArrived) co_return way.why;
  Respond();
  if (IsHidden(target.kind)) co_return NotFound();
  co_return co_await sky_.gitlab.Resolve(CallContext(), std::move(target));
}

Task<absl::StatusOr<ResolvedTarget>> Upstream::TargetOf(CallContext call, std::string instance, std::int64_t user_id) {
  const Way way = co_await Travel(call, Kind::kGet, std::nullopt);
  if (way.end != Way::End::kArrived) co_return way.why;
  Respond();
  co_return co_await sky_.gitlab.TargetOf(CallContext(), std::move(instance), user_id);
}

Task<absl::StatusOr<IssuerFacts>> Upstream::CheckIssuer(CallContext call) {
  const Way way = co_await Travel(call, Kind::kGet, std::nullopt);
  if (way.end != Way::End::kArrived) co_return way.why;
  Respond();
  absl::StatusOr<IssuerFacts> facts = co_await sky_.gitlab.CheckIssuer(CallContext());
  if (facts.ok()) admin_when_checked_ = facts->is_admin;
  co_return facts;
}

}  // namespace tokenbroker::sim
