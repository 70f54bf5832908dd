#include "server/gitlab/exchange.h"

#include <cctype>
#include <utility>

#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/gitlab/answer.h"

namespace tokenbroker {
namespace {

std::string_view OutcomeOf(const HttpAnswer& answer) {
  if (answer.cancelled) return "cancelled";
  if (answer.status == 0) return answer.sent ? "unknown" : "not_sent";
  if (answer.status == 429) return "rate_limited";
  if (!IsFromGitLab(answer)) return "unavailable";  // Whatever it says: GitLab did not say it.
  if (answer.status < 300) return "done";
  if (answer.status >= 500 || answer.status < 400) return "unavailable";
  if (SaysInvalidToken(answer)) return "issuer_dead";
  return answer.status == 404 ? "not_found" : "refused";
}

// Whose requests wait while requests of this operation are limited.
Lane LaneOf(std::string_view operation) {
  if (operation == "revoke") return Lane::kRevoke;
  if (operation == "mint") return Lane::kCreate;
  if (operation == "resolve") return Lane::kResolve;
  return Lane::kLook;
}

}  // namespace

std::string PercentEncode(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((std::isalnum(byte) != 0 && byte < 0x80) || c == '-' || c == '.' || c == '_' || c == '~') {
      encoded += c;
    } else {
      encoded += '%';
      encoded += kHex[byte >> 4];
      encoded += kHex[byte & 15];
    }
  }
  return encoded;
}

Exchange::Exchange(std::string url, std::unique_ptr<CurlLoop> loop, std::unique_ptr<Issuer> issuer, Clock& clock,
                   Slots& slots, Metrics& metrics, Log& log)
    : api_(std::move(url) + "/api/v4"),
      loop_(std::move(loop)),
      issuer_(std::move(issuer)),
      clock_(clock),
      slots_(slots),
      metrics_(metrics),
      log_(log) {}

Task<absl::StatusOr<HttpAnswer>> Exchange::Send(CallContext call, ApiRequest request) {
  absl::StatusOr<Secret> token = issuer_->Take();
  if (!token.ok()) co_return token.status();
  const Secret used = token->Clone();
  const BootTime began = clock_.Boot();
  HttpAnswer answer = co_await SendWith(call, std::move(request), *std::move(token));
  if (!IsFromGitLab(answer)) co_return answer;  // A proxy's 401 is about the proxy.
  if (SaysInvalidToken(answer)) {
    issuer_->ProveDead(used.Reveal());
    co_return Dead();
  }
  if (answer.status == 401) {
    // GitLab says 401 to an unknown credential and to what is not ours alike: a look at itself decides.
    ApiRequest self;
    self.operation = "issuer";
    self.method = "GET";
    self.path = "/personal_access_tokens/self";
    const CallContext soon(clock_.Boot() + seconds(10));
    const HttpAnswer looked = co_await SendWith(soon, std::move(self), used.Clone());
    if (looked.status == 401 && IsFromGitLab(looked)) {
      issuer_->ProveDead(used.Reveal());
      co_return Dead();
    }
  } else if (answer.status >= 200 && answer.status < 300) {
    issuer_->ProveAlive(used.Reveal(), began);
  }
  co_return answer;
}

Task<HttpAnswer> Exchange::SendWith(CallContext call, ApiRequest request, Secret token) {
  HttpRequest http;
  http.method = request.method;
  http.url = api_ + request.path;
  http.token = std::move(token);
  // A write without a JSON body is answered by a redirect where GitLab is read-only.
  http.body = request.method != "GET" && request.body.empty() ? "{}" : std::move(request.body);
  http.once = request.once;
  http.send_before = request.send_before;
  const BootTime began = clock_.Boot();
  HttpAnswer answer = co_await loop_->Send(std::move(call), std::move(http));
  Learn(request.operation, answer);
  const Duration took = clock_.Boot() - began;
  const std::string_view outcome = OutcomeOf(answer);
  metrics_.UpstreamEnded(request.operation, outcome, took);
  log_.Debug("gitlab answered", {{"operation", request.operation},
                                 {"method", request.method},
                                 {"path", Presentable(request.path, issuer_->Reveal())},
                                 {"status", answer.status},
                                 {"outcome", outcome},
                                 {"request_id", Presentable(answer.header("x-request-id"), issuer_->Reveal())},
                                 {"took_us", took.count()}});
  co_return answer;
}

void Exchange::Learn(std::string_view operation, const HttpAnswer& answer) {
  if (answer.status == 0) return;
  // What stands in front of GitLab has a clock of its own.
  const std::optional<WallTime> date = ParseHttpDate(answer.header("date"));
  if (date.has_value() && IsFromGitLab(answer)) time_ = UpstreamTime{*date, clock_.Boot()};
  // RateLimit-Reset is a time of GitLab's clock.
  if (const std::optional<Duration> pause = PauseAsked(answer, UpstreamNowOrOurs())) {
    const BootTime until = clock_.Boot() + *pause;
    if (LimitsAllRequests(answer)) {
      slots_.PauseAll(until);
    } else {
      slots_.Pause(LaneOf(operation), until);
    }
  }
}

WallTime Exchange::UpstreamNowOrOurs() const {
  return time_.has_value() ? UpstreamNow(*time_, clock_.Boot()) : clock_.Now();
}

absl::Status Exchange::Failure(const HttpAnswer& answer) const {
  return FailureOf(answer, issuer_->Reveal(), UpstreamNowOrOurs());
}

absl::Status Exchange::Dead() const {
  return Error(absl::StatusCode::kUnavailable, "ISSUER_DEAD",
               "the broker's own GitLab credential is revoked or expired; an operator must replace it")
      .RetryAfter(seconds(10));
}

}  // namespace tokenbroker
