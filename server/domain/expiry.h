#pragma once
// GitLab's date for a token's end, and when to look for what a lost answer left behind. Pure arithmetic.

#include <optional>

#include "server/base/clock.h"
#include "server/base/time_text.h"

namespace tokenbroker {

// The shortest ttl; GitLab itself knows days alone.
inline constexpr Duration kMinTtl = minutes(1);
// The longest that a request may name: GitLab's buffered maximum of a token's life.
inline constexpr Duration kMaxTtl = hours(24 * 400);

// GitLab takes a token for dead from 00:00:00 UTC of its date. This is the first date whose midnight is not before
// `expire_time` + guard, guard = max(1 h, 2 x |skew|): the net never cuts a token short, and none is born dead.
Date UpstreamDateFor(WallTime expire_time, Duration skew);

// The same, under an instance whose latest allowed date is `latest`: that date if its midnight is not before
// `expire_time`; nothing if the ttl is too long for the instance.
std::optional<Date> UpstreamDateWithin(WallTime expire_time, Duration skew, Date latest);

// The longest ttl that a token can have now under `latest`, in whole minutes, and a minute less, so that a request for
// it that is sent within a minute fits. Zero if there is none.
Duration LongestTtl(Date latest, WallTime now);

// Whether a 404 by id at `now` can confirm that a token made at `create_time` is revoked: a replica of GitLab's that
// lags answers 404 for a token that is live, so not before the token has settled.
bool NotFoundMayConfirm(WallTime create_time, Duration settle, WallTime now);

// How long an intent waits for its POST's answer before nobody believes it any more.
inline constexpr Duration kGiveUpAfter = seconds(90);
// A POST is handed over only this soon after its intent's transaction began.
inline constexpr Duration kSendWindow = seconds(5);
// How far GitLab's created_at may lie before our create_time in a search for a marker: tolerated skew and some slack.
inline constexpr Duration kSearchBack = minutes(20);

// When a PENDING or ABANDONED row is to be looked for at GitLab: at give_up_time, at create_time + 5 s + settle, and
// after an end that is not known at create_time + 1 h and + 24 h. Returns the first of these after `last_look` (the
// time at which the last look began; nothing: none yet), or nothing when all are done.
std::optional<WallTime> NextLook(WallTime create_time, Duration settle, std::optional<WallTime> last_look);

// Whether a look that began at `began` and found nothing may close the row as ABANDONED.
bool LookMayClose(WallTime create_time, Duration settle, WallTime began);

}  // namespace tokenbroker
