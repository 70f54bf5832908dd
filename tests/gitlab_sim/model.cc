#include "tests/gitlab_sim/model.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/gitlab_sim/auth.h"
#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/errors.h"
#include "tests/gitlab_sim/json_text.h"

namespace tokenbroker::gitlab_sim {
namespace {

constexpr std::string_view kRoot = "/api/v4";

std::vector<std::string> ScopesOf(ScopeRule rule) {
  switch (rule) {
    case ScopeRule::kUsers:
      return {"read_user", "api", "read_api"};
    case ScopeRule::kSelfRotate:
      return {"api", "self_rotate"};
    case ScopeRule::kAny:
      return {};
    case ScopeRule::kApi:
      break;
  }
  return {"api", "read_api"};
}

uint64_t Hash(const std::string& text, uint64_t seed) {
  uint64_t hash = 14695981039346656037ULL ^ seed;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return hash;
}

std::string WeakTag(const std::string& body) {
  std::array<char, 48> out{};
  std::snprintf(out.data(), out.size(), "W/\"%016llx%016llx\"", static_cast<unsigned long long>(Hash(body, 0)),
                static_cast<unsigned long long>(Hash(body, 0x9e3779b97f4a7c15ULL)));
  return out.data();
}

// A write without a JSON content type is taken for a form of the web interface, and sent back to where it came from.
HttpResponse ReadOnly(const HttpRequest& request) {
  const std::string type = FindHeader(request.headers, "Content-Type").value_or("");
  if (type.find("json") != std::string::npos) {
    return Message(403, "You cannot perform write operations on a read-only instance");
  }
  return HttpResponse{
      .status = 301,
      .headers = {{"Content-Type", "text/html"}, {"Location", FindHeader(request.headers, "Referer").value_or("/")}},
      .body = "<html><body>You are being redirected.</body></html>"};
}

}  // namespace

std::vector<std::string> SegmentsOf(const std::string& path) {
  std::vector<std::string> out;
  for (size_t at = 1; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    out.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

bool MatchesPattern(const std::vector<std::string>& pattern, const std::vector<std::string>& path) {
  return std::equal(pattern.begin(), pattern.end(), path.begin(), path.end(),
                    [](const std::string& wanted, const std::string& given) {
                      return wanted.front() == ':' ? !given.empty() : wanted == given;
                    });
}

std::string Call::PathParam(const std::string& name) const {
  const Param* param = params.Find(name);
  return param == nullptr ? "" : param->text;
}

std::optional<int64_t> Call::PathId(const std::string& name) const {
  const std::string text = PathParam(name);
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos) {
    return std::nullopt;
  }
  return std::strtoll(text.c_str(), nullptr, 10);
}

Model::Model(std::function<TimePoint()> clock, const std::string& version, uint64_t seed)
    : state_(std::move(clock), version, seed) {
  for (const auto& part : {PersonalAccessTokenRoutes(), ResourceAccessTokenRoutes(), ServiceAccountRoutes(),
                           ImpersonationTokenRoutes(), UserRoutes(), TargetRoutes(), InstanceRoutes()}) {
    for (const Route& route : part) routes_.push_back({route, SegmentsOf(route.pattern)});
  }
}

HttpResponse Model::Unknown(const HttpRequest& request) {
  unknown_routes_.push_back(request.method + " " + PathOf(request.target));
  return GrapeError(501, "the simulator does not serve " + unknown_routes_.back());
}

HttpResponse Model::Handle(const HttpRequest& request) {
  HttpResponse response = Dispatch(request);
  AddCommonHeaders(request, &response);
  return response;
}

// The order of checks is GitLab's: route, credential, scope, blocked user, administrator, parameters, target, ability.
HttpResponse Model::Dispatch(const HttpRequest& request) {
  const std::string path = PathOf(request.target);
  if (path.rfind(kRoot, 0) != 0) return Unknown(request);
  if (FindHeader(request.headers, "Sudo")) return Unknown(request);
  if (state_.settings().read_only && request.method != "GET" && request.method != "HEAD") return ReadOnly(request);
  const std::vector<std::string> segments = SegmentsOf(path.substr(kRoot.size()));
  Call call;
  call.state = &state_;
  call.request = &request;
  call.base_url = base_url_;
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  const CompiledRoute* found = nullptr;
  bool other_verb = false;
  for (const CompiledRoute& candidate : routes_) {
    if (!MatchesPattern(candidate.segments, segments)) continue;
    if (candidate.route.method == method) {
      found = &candidate;
      break;
    }
    other_verb = true;
  }
  if (found == nullptr) return other_verb ? GrapeError(405, "405 Not Allowed") : Unknown(request);
  if (!call.params.Read(request)) return Message(400, "400 Bad request - the body is not a JSON object");
  for (size_t i = 0; i < segments.size(); ++i) {
    if (found->segments[i].front() != ':') continue;
    call.params.Set(found->segments[i].substr(1), PercentDecode(segments[i], false));
  }
  return Run(found->route, &call);
}

HttpResponse Model::Run(const Route& route, Call* call) {
  if (auto refusal = Authenticate(call, ScopesOf(route.scopes), route.anonymous_allowed)) return *refusal;
  if (route.admin_only && !call->admin) return Forbidden();
  return route.handler(*call);
}

std::string Model::NextRequestId() {
  // A ULID: 48 bits of milliseconds and 80 bits that tell requests apart, in Crockford's base 32.
  constexpr std::string_view kDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  std::string out(26, '0');
  auto time = static_cast<uint64_t>(state_.Now().time_since_epoch().count());
  for (size_t i = 10; i-- > 0; time >>= 5U) out[i] = kDigits[time & 31U];
  uint64_t rest = Hash(std::to_string(++requests_), 7);
  for (size_t i = 26; i-- > 14; rest >>= 5U) out[i] = kDigits[rest & 31U];
  return out;
}

void Model::AddRateLimitHeaders(HttpResponse* response) {
  const auto minute = std::chrono::floor<std::chrono::minutes>(state_.Now());
  if (minute.time_since_epoch().count() != window_) {
    window_ = minute.time_since_epoch().count();
    observed_ = 0;
  }
  ++observed_;
  const int limit = state_.settings().rate_limit_per_minute;
  response->headers.emplace_back("RateLimit-Limit", std::to_string(limit));
  response->headers.emplace_back(
      "RateLimit-Name", response->status == 401 ? "throttle_unauthenticated_api" : "throttle_authenticated_api");
  response->headers.emplace_back("RateLimit-Observed", std::to_string(observed_));
  response->headers.emplace_back("RateLimit-Remaining", std::to_string(std::max(0, limit - observed_)));
  response->headers.emplace_back("RateLimit-Reset", std::to_string((window_ + 1) * 60));
}

void Model::AddCommonHeaders(const HttpRequest& request, HttpResponse* response) {
  const std::string id = NextRequestId();
  const bool tagged = (response->status == 200 || response->status == 201) && !response->body.empty();
  if (tagged) {
    const std::string tag = WeakTag(response->body);
    response->headers.emplace_back("Etag", tag);
    if (request.method == "GET" && FindHeader(request.headers, "If-None-Match") == tag) {
      response->status = 304;
      response->body.clear();
    }
  }
  response->headers.emplace_back("Cache-Control", tagged ? "max-age=0, private, must-revalidate" : "no-cache");
  response->headers.emplace_back("Date", HttpDateText(state_.Now()));
  response->headers.emplace_back("Server", "nginx");
  response->headers.emplace_back("Vary", "Origin");
  response->headers.emplace_back("X-Content-Type-Options", "nosniff");
  response->headers.emplace_back("X-Frame-Options", "SAMEORIGIN");
  response->headers.emplace_back("X-Gitlab-Meta",
                                 JsonObject().Text("correlation_id", id).Text("version", "1").Finish());
  response->headers.emplace_back("X-Request-Id", id);
  response->headers.emplace_back("X-Runtime", "0.000100");
  if (state_.settings().rate_limit_headers) AddRateLimitHeaders(response);
}

}  // namespace tokenbroker::gitlab_sim
