#include "server/domain/expiry.h"

#include <algorithm>
#include <array>

namespace tokenbroker {
namespace {

Date FirstMidnightFrom(WallTime time) {
  const Date day = DateOf(time);
  return MidnightOf(day) == time ? day : day + std::chrono::days(1);
}

}  // namespace

Date UpstreamDateFor(WallTime expire_time, Duration skew) {
  const Duration size = skew < Duration(0) ? -skew : skew;
  return FirstMidnightFrom(expire_time + std::max<Duration>(hours(1), 2 * size));
}

std::optional<Date> UpstreamDateWithin(WallTime expire_time, Duration skew, Date latest) {
  const Date wanted = UpstreamDateFor(expire_time, skew);
  if (wanted <= latest) return wanted;
  if (MidnightOf(latest) >= expire_time) return latest;
  return std::nullopt;
}

Duration LongestTtl(Date latest, WallTime now) {
  const auto whole_minutes = std::chrono::floor<std::chrono::minutes>(MidnightOf(latest) - now);
  return std::max<Duration>(whole_minutes - minutes(1), Duration(0));
}

bool NotFoundMayConfirm(WallTime create_time, Duration settle, WallTime now) { return now >= create_time + settle; }

std::optional<WallTime> NextLook(WallTime create_time, Duration settle, std::optional<WallTime> last_look) {
  std::array<WallTime, 4> looks = {create_time + kGiveUpAfter, create_time + kSendWindow + settle,
                                   create_time + hours(1), create_time + hours(24)};
  std::sort(looks.begin(), looks.end());
  for (const WallTime look : looks) {
    if (!last_look.has_value() || look > *last_look) return look;
  }
  return std::nullopt;
}

bool LookMayClose(WallTime create_time, Duration settle, WallTime began) {
  return began >= create_time + kSendWindow + settle;
}

}  // namespace tokenbroker
