#include "server/broker/issuer_watch.h"

#include <algorithm>
#include <string>

#include "server/base/error.h"
#include "server/base/time_text.h"

namespace tokenbroker {
namespace {

constexpr Duration kRefresh = hours(24);
constexpr Duration kFirstRetry = seconds(5);
constexpr Duration kLongestRetry = minutes(1);
constexpr Duration kAskFor = seconds(30);
constexpr auto kWarnFrom = std::chrono::days(30);

}  // namespace

Task<void> IssuerWatch::Run(Event stop) {
  Duration retry = kFirstRetry;
  while (!stop.is_set()) {
    const CallContext call(parts_.clock.Boot() + kAskFor);
    const absl::StatusOr<IssuerFacts> facts = co_await parts_.gitlab.CheckIssuer(call);
    Duration pause = kRefresh;
    if (facts.ok()) {
      Learn(*facts);
      retry = facts->is_admin_known ? kFirstRetry : std::min<Duration>(2 * retry, kLongestRetry);
      if (!facts->is_admin_known) pause = retry;
    } else {
      parts_.log.Warn("issuer not checked", {{"reason", ReasonOf(facts.status())},
                                             {"error", std::string(facts.status().message())},
                                             {"retry_in", FormatDuration(retry)}});
      pause = retry;
      retry = std::min<Duration>(2 * retry, kLongestRetry);
    }
    co_await stop.Wait(parts_.clock, parts_.clock.Boot() + pause);
  }
}

void IssuerWatch::Learn(const IssuerFacts& facts) {
  facts_ = facts;
  const std::int64_t end = facts.expires_at.has_value() ? MicrosOf(MidnightOf(*facts.expires_at)) / 1'000'000 : 0;
  parts_.metrics.SetIssuer(true, end);
  const std::string date = facts.expires_at.has_value() ? FormatDate(*facts.expires_at) : "never";
  parts_.log.Info("issuer checked", {{"user", facts.username},
                                     {"user_id", facts.user_id},
                                     {"administrator", facts.is_admin},
                                     {"rights_known", facts.is_admin_known},
                                     {"expires", date},
                                     {"gitlab_version", facts.gitlab_version}});
  if (facts.expires_at.has_value() && *facts.expires_at - DateOf(parts_.clock.Now()) <= kWarnFrom) {
    parts_.log.Warn("the issuer's credential ends soon", {{"expires", date}});
  }
}

DateLimits IssuerWatch::Limits(const ResolvedTarget& target, WallTime upstream_now) const {
  DateLimits limits;
  if (facts_.has_value() && facts_->max_lifetime_days.has_value()) {
    limits.latest = DateOf(upstream_now) + std::chrono::days(*facts_->max_lifetime_days);
  }
  if (!rejected_.has_value()) return limits;
  limits.likely_latest = DateOf(upstream_now) + rejected_->lifetime;
  // A group may have a limit of its own, and any limit may be raised: asked again like the settings, daily.
  const bool is_certain = rejected_->target.kind == target.kind && rejected_->target.id == target.id &&
                          parts_.clock.Boot() - rejected_->recorded < kRefresh;
  if (is_certain) limits.latest = std::min(limits.latest.value_or(*limits.likely_latest), *limits.likely_latest);
  return limits;
}

void IssuerWatch::RecordRejectedDate(const ResolvedTarget& target, Date latest, WallTime upstream_now) {
  rejected_ = {target, latest - DateOf(upstream_now), parts_.clock.Boot()};
  parts_.log.Info("longest life of a token recorded",
                  {{"target", ToText(target)}, {"days", static_cast<std::int64_t>(rejected_->lifetime.count())}});
}

}  // namespace tokenbroker
