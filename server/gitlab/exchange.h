#pragma once
// One request to GitLab's API and its answer: with the issuer's credential, at the pace that GitLab asks for, measured.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/base/task.h"
#include "server/domain/upstream_time.h"
#include "server/gitlab/curl_loop.h"
#include "server/gitlab/issuer.h"
#include "server/gitlab/slots.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

struct ApiRequest {
  std::string operation;  // For the metrics: "mint", "revoke", ...
  std::string method;
  std::string path;  // Below /api/v4, encoded, with its query: "/users/42/personal_access_tokens".
  std::string body;
  bool once = false;  // See HttpRequest.
  BootTime send_before = kNever;
};

// Runs on the executor alone.
class Exchange {
 public:
  Exchange(std::string url, std::unique_ptr<CurlLoop> loop, std::unique_ptr<Issuer> issuer, Clock& clock, Slots& slots,
           Metrics& metrics, Log& log);

  // The answer, whatever its status; or ISSUER_DEAD without sending anything. An answer that says or may mean that the
  // credential is dead is looked into first: then the answer is ISSUER_DEAD as well.
  Task<absl::StatusOr<HttpAnswer>> Send(CallContext call, ApiRequest request);

  // The failure that an answer means.
  absl::Status Failure(const HttpAnswer& answer) const;

  // See GitLab::Time.
  const std::optional<UpstreamTime>& time() const { return time_; }
  std::uint64_t issuer_generation() const { return issuer_->generation(); }
  BootTime Boot() const { return clock_.Boot(); }

 private:
  Task<HttpAnswer> SendWith(CallContext call, ApiRequest request, Secret token);
  void Learn(std::string_view operation, const HttpAnswer& answer);
  absl::Status Dead() const;
  // For times of GitLab's in its headers.
  WallTime UpstreamNowOrOurs() const;

  const std::string api_;
  const std::unique_ptr<CurlLoop> loop_;
  const std::unique_ptr<Issuer> issuer_;
  Clock& clock_;
  Slots& slots_;
  Metrics& metrics_;
  Log& log_;
  std::optional<UpstreamTime> time_;
};

// Encodes one segment of a path or a value of a query: every byte outside A-Z a-z 0-9 - . _ ~.
std::string PercentEncode(std::string_view text);

}  // namespace tokenbroker
