#include "tests/sim/upstream.h"

#include <optional>
#include <string>

#include "server/base/error.h"
#include "server/domain/expiry.h"

namespace tokenbroker::sim {
namespace {

absl::Status Unavailable(const char* why) { return Error(absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", why); }

absl::Status NotFound() { return Error(absl::StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", "404 Not Found"); }

absl::Status Forbidden() { return Error(absl::StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED", "403 Forbidden"); }

Ended<Minted> LostMint() { return Unknown{Unavailable("no answer")}; }
Ended<Minted> RefusedMint(absl::Status why) { return Refused{std::move(why)}; }
Ended<GitLab::Deleted> LostDelete() { return Unknown{Unavailable("no answer")}; }
Ended<GitLab::Deleted> RefusedDelete(absl::Status why) { return Refused{std::move(why)}; }

// The answer to a POST that was carried out, and what is wrong with it.
Ended<Minted> Answer(const FakeGitLab& gitlab, std::int64_t id, int fault) {
  Minted minted;
  minted.secret = Secret("glpat-sim-" + std::to_string(id));
  minted.token = gitlab.token(id);
  minted.token.active = fault != 0;
  if (fault == 1) minted.token.scopes.push_back("sudo");
  if (fault == 2) minted.token.name += " (copy)";
  return minted;
}

}  // namespace

void Sky::Later(Duration in, std::function<void()> act) {
  later.push_back(world.CallAt(world.Boot() + in, std::move(act)));
}

Task<absl::Status> Upstream::Travel() {
  co_await process_.SleepUntil(process_.Boot() + sky_.draw.Between(Duration(100), milliseconds(60)));
  if (process_.dead()) co_return Unavailable("the process is dead");
  if (sky_.weather.down) co_return Unavailable("no connection");
  co_return absl::OkStatus();
}

Task<Ended<Minted>> Upstream::Mint(CallContext, DurableIntent intent, MintSpec spec) {
  const absl::Status arrived = co_await Travel();
  if (!arrived.ok()) co_return RefusedMint(arrived);
  if (process_.Boot() - intent.committed() > kSendWindow) co_return RefusedMint(Unavailable("too late to send"));
  if (IsHidden(spec.target.kind)) co_return RefusedMint(NotFound());

  const Weather& weather = sky_.weather;
  Draw& draw = sky_.draw;
  if (draw.Percent(weather.refused)) co_return RefusedMint(Forbidden());
  auto made = std::make_shared<std::optional<std::int64_t>>();
  const auto make = [sky = &sky_, spec] {
    const std::int64_t id = sky->gitlab.Plant(spec);
    sky->note("GitLab makes " + std::to_string(id) + ' ' + spec.name);
    return id;
  };
  const auto carry_out = [make, made] { *made = make(); };
  Duration takes = draw.Between(milliseconds(1), milliseconds(60));
  bool heard = true;
  if (draw.Percent(weather.late)) {
    sky_.Later(draw.Of<Duration>({seconds(30), minutes(5), hours(2)}), carry_out);
    heard = false;
  } else if (draw.Percent(weather.twice)) {
    carry_out();
    heard = draw.Percent(50);
    sky_.Later(draw.Between(milliseconds(1), seconds(100)), [make, heard, sky = &sky_] {
      const std::int64_t id = make();
      if (heard) sky->twins.insert(id);
    });
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
  const int fault = draw.Percent(weather.wrong) ? draw.Below(3) : 3;
  co_await process_.SleepUntil(process_.Boot() + takes);
  if (process_.dead() || !heard || !made->has_value()) co_return LostMint();
  co_return Answer(sky_.gitlab, **made, fault);
}

Task<Ended<GitLab::Deleted>> Upstream::Revoke(CallContext, UpstreamRef ref) {
  const absl::Status arrived = co_await Travel();
  if (!arrived.ok()) co_return RefusedDelete(arrived);
  Draw& draw = sky_.draw;
  if (IsHidden(ref.target.kind)) co_return RefusedDelete(NotFound());
  if (draw.Percent(sky_.weather.refused)) co_return RefusedDelete(Forbidden());
  const bool lost = draw.Percent(sky_.weather.lost);
  if (lost && draw.Percent(50)) co_return LostDelete();
  if (sky_.weather.holders_rotate && draw.Percent(30)) {
    for (const UpstreamToken& each : sky_.gitlab.live()) {
      if (each.id == ref.token_id && each.scopes == std::vector<std::string>{"api"}) {
        sky_.note("its holder rotates " + std::to_string(each.id));
        sky_.gitlab.HolderRotates(each.id);
      }
    }
  }
  sky_.note("GitLab deletes " + std::to_string(ref.token_id));
  Ended<Deleted> end = co_await sky_.gitlab.Revoke(CallContext(), ref);
  co_await process_.SleepUntil(process_.Boot() + draw.Between(milliseconds(1), milliseconds(60)));
  if (process_.dead() || lost) co_return LostDelete();
  co_return end;
}

Task<absl::StatusOr<std::optional<UpstreamToken>>> Upstream::GetToken(CallContext, UpstreamRef ref) {
  const absl::Status arrived = co_await Travel();
  if (!arrived.ok()) co_return arrived;
  if (sky_.draw.Percent(sky_.weather.lost)) co_return Unavailable("no answer");
  if (IsHidden(ref.target.kind)) co_return std::optional<UpstreamToken>();
  co_return co_await sky_.gitlab.GetToken(CallContext(), std::move(ref));
}

Task<absl::StatusOr<bool>> Upstream::ConfirmNotFound(CallContext, UpstreamRef ref) {
  const absl::Status arrived = co_await Travel();
  if (!arrived.ok()) co_return arrived;
  if (IsHidden(ref.target.kind)) co_return false;
  co_return co_await sky_.gitlab.ConfirmNotFound(CallContext(), std::move(ref));
}

Task<absl::StatusOr<std::vector<UpstreamToken>>> Upstream::ListTokens(CallContext, UpstreamQuery query) {
  const absl::Status arrived = co_await Travel();
  if (!arrived.ok()) co_return arrived;
  if (sky_.draw.Percent(sky_.weather.lost)) co_return Unavailable("no answer");
  if (!query.whole_instance && IsHidden(query.target.kind)) co_return NotFound();
  co_return co_await sky_.gitlab.ListTokens(CallContext(), std::move(query));
}

Task<absl::StatusOr<TargetFacts>> Upstream::Resolve(CallContext, Target target) {
  const absl::Status arrived = co_await Travel();
  if (!arrived.ok()) co_return arrived;
  if (IsHidden(target.kind)) co_return NotFound();
  co_return co_await sky_.gitlab.Resolve(CallContext(), std::move(target));
}

Task<absl::StatusOr<ResolvedTarget>> Upstream::TargetOf(CallContext, std::string instance, std::int64_t user_id) {
  const absl::Status arrived = co_await Travel();
  if (!arrived.ok()) co_return arrived;
  co_return co_await sky_.gitlab.TargetOf(CallContext(), std::move(instance), user_id);
}

Task<absl::StatusOr<IssuerFacts>> Upstream::CheckIssuer(CallContext) {
  const absl::Status arrived = co_await Travel();
  if (!arrived.ok()) co_return arrived;
  co_return co_await sky_.gitlab.CheckIssuer(CallContext());
}

}  // namespace tokenbroker::sim
