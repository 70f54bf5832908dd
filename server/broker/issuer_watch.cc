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

std::optional<Date> IssuerWatch::LatestDate(WallTime now) const {
  if (!facts_.has_value() || !facts_->max_lifetime_days.has_value()) return std::nullopt;
  return DateOf(now) + std::chrono::days(*facts_->max_lifetime_days);
}

}  // namespace tokenbroker
