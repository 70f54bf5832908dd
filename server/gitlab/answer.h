#pragma once
// What an answer of GitLab means. Pure.

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/base/time_text.h"
#include "server/gitlab/curl_loop.h"

namespace tokenbroker {

// Whether a change that ended so was refused for certain: it was never sent, or GitLab itself said no. Not certain are
// a missing or cut answer, redirects, 408, 5xx, and any 4xx that a proxy in front may have written: only answers of
// GitLab's application carry X-Gitlab-Meta.
bool IsCertainRefusal(const HttpAnswer& answer);

// Whether GitLab's application wrote the response, whatever its status. Any other response, a success too, is of
// something in front of it and shows nothing of what GitLab did.
bool IsFromGitLab(const HttpAnswer& answer);
// A 200 or a 404 of GitLab's own.
bool IsOk(const HttpAnswer& answer);
bool IsNotFound(const HttpAnswer& answer);
// Whether GitLab says that the credential may not ask this. Any other failure, a 429 too, tells nothing about its
// rights.
bool SaysMayNot(const HttpAnswer& answer);

// Whether GitLab says that the credential itself is revoked or expired. A 401 without that says nothing: GitLab answers
// it also for what is not there or not ours.
bool SaysInvalidToken(const HttpAnswer& answer);

// The failure, with its reason (see GitLab) and GitLab's own words: at most 512 bytes of them, without control
// characters and without anything that looks like a token. `issuer` is blotted out wherever it stands.
absl::Status FailureOf(const HttpAnswer& answer, std::string_view issuer, WallTime now);

// The last date that GitLab allows for a token's end, from its rejection of a later one: "Expires at must be before
// 2027-11-24" in a sentence, or "must be before 2027-11-24" in a list of "expires_at". The date itself is allowed,
// whatever the words say. The earliest date if there are several; std::nullopt if `answer` is no such rejection.
std::optional<Date> LatestDateOf(const HttpAnswer& answer);

// How long no more requests of the kind are to be sent: Retry-After of a 429, or until RateLimit-Reset when
// RateLimit-Remaining is 0. At most two minutes, whatever the headers say; at most one minute if the response has no
// GitLab mark.
std::optional<Duration> PauseAsked(const HttpAnswer& answer, WallTime now);
// Whether the limit behind PauseAsked is one on all requests: GitLab's application names a throttle of its own in
// RateLimit-Name. Any other limit is one on the operation that reached it.
bool LimitsAllRequests(const HttpAnswer& answer);

// A text of somebody else's as it may be shown: see FailureOf.
std::string Presentable(std::string_view text, std::string_view issuer);

}  // namespace tokenbroker
