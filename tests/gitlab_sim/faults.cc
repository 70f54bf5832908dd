#include "tests/gitlab_sim/faults.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/params.h"

namespace tokenbroker::gitlab_sim {
namespace {

using Action = Fault::Action;
using std::chrono::milliseconds;

constexpr std::array<std::pair<const char*, Action>, 10> kActions = {{
    {"act", Action::kAct},
    {"close", Action::kClose},
    {"reset", Action::kReset},
    {"act-then-close", Action::kActThenClose},
    {"act-then-reset", Action::kActThenReset},
    {"answer", Action::kAnswer},
    {"act-then-answer", Action::kActThenAnswer},
    {"answer-then-act", Action::kAnswerThenAct},
    {"truncate", Action::kTruncate},
    {"answer-twice", Action::kAnswerTwice},
}};

Fault Canned(int status, Headers headers, const std::string& body) {
  Fault out;
  out.action = Action::kAnswer;
  out.status = status;
  out.headers = std::move(headers);
  out.body = body;
  return out;
}

std::string Page(const std::string& title) {
  return "<!DOCTYPE html>\n<html><head><title>" + title + "</title></head>\n<body><h1>" + title +
         "</h1>\n<hr>nginx</body></html>\n";
}

int Number(const Headers& headers, const std::string& name, int otherwise) {
  const auto text = FindHeader(headers, name);
  return text ? std::atoi(text->c_str()) : otherwise;
}

}  // namespace

Fault Fault::TooManyRequests(int retry_after_seconds) {
  return Canned(429,
                {{"Content-Type", "text/plain"},
                 {"Retry-After", std::to_string(retry_after_seconds)},
                 {"RateLimit-Limit", "2000"},
                 {"RateLimit-Name", "throttle_authenticated_api"},
                 {"RateLimit-Observed", "2001"},
                 {"RateLimit-Remaining", "0"}},
                "Retry later\n");
}

Fault Fault::TooManyRequestsJson() {
  return Canned(429, {{"Content-Type", "application/json"}, {"Retry-After", "60"}},
                R"({"message":{"error":"This endpoint has been requested too many times. Try again later."}})");
}

Fault Fault::HtmlError(int status) {
  return Canned(status, {{"Content-Type", "text/html"}}, Page(std::to_string(status) + " Gateway Error"));
}

Fault Fault::NotResponding() { return Canned(502, {{"Content-Type", "text/plain"}}, "GitLab is not responding"); }

Fault Fault::TimeoutThenAct(milliseconds later) {
  Fault out = Canned(504, {{"Content-Type", "text/html"}}, Page("504 Gateway Time-out"));
  out.action = Action::kAnswerThenAct;
  out.act_later = later;
  return out;
}

Fault Fault::Redirect(int status, const std::string& location) {
  return Canned(status, {{"Content-Type", "text/html"}, {"Location", location}}, Page("Moved"));
}

Fault Fault::HtmlOk() { return Canned(200, {{"Content-Type", "text/html"}}, Page("Sign in")); }

Fault Fault::Proxy(int status, const std::string& body, std::chrono::seconds clock_ahead) {
  Fault out = Canned(status, {{"Content-Type", "application/json"}}, body);
  out.clock_ahead = clock_ahead;
  return out;
}

Fault Fault::ResourceLock() {
  return Canned(409, {{"Content-Type", "application/json"}}, R"({"message":"409 Conflict: Resource lock"})");
}

Fault Fault::On(std::string on_method, std::string on_path_regex, int on_times) && {
  method = std::move(on_method);
  path_regex = std::move(on_path_regex);
  times = on_times;
  return std::move(*this);
}

std::optional<Fault::Action> ActionNamed(const std::string& name) {
  for (const auto& [known, action] : kActions) {
    if (name == known) return action;
  }
  return std::nullopt;
}

std::optional<Fault> PresetNamed(const std::string& name, int number) {
  if (name == "too-many-requests") return Fault::TooManyRequests(number == 0 ? 1 : number);
  if (name == "too-many-requests-json") return Fault::TooManyRequestsJson();
  if (name == "html-error") return Fault::HtmlError(number == 0 ? 502 : number);
  if (name == "not-responding") return Fault::NotResponding();
  if (name == "timeout-then-act") return Fault::TimeoutThenAct(milliseconds(number));
  if (name == "redirect") return Fault::Redirect(number == 0 ? 302 : number, "/users/sign_in");
  if (name == "html-ok") return Fault::HtmlOk();
  if (name == "proxy") return Fault::Proxy(number == 0 ? 204 : number);
  if (name == "resource-lock") return Fault::ResourceLock();
  return std::nullopt;
}

std::optional<Fault> FaultInHeaders(const Headers& headers) {
  bool any = false;
  for (const auto& [name, value] : headers) any = any || name.rfind("X-Sim-", 0) == 0 || name.rfind("x-sim-", 0) == 0;
  if (!any) return std::nullopt;
  Fault out;
  if (const auto preset = FindHeader(headers, "X-Sim-Fault")) {
    out = PresetNamed(*preset, Number(headers, "X-Sim-Number", 0)).value_or(out);
  }
  if (const auto action = FindHeader(headers, "X-Sim-Action")) out.action = ActionNamed(*action).value_or(out.action);
  out.delay_before = milliseconds(Number(headers, "X-Sim-Delay-Before-Ms", 0));
  out.delay_after = milliseconds(Number(headers, "X-Sim-Delay-After-Ms", 0));
  out.act_later = milliseconds(Number(headers, "X-Sim-Act-Later-Ms", static_cast<int>(out.act_later.count())));
  out.body_time = milliseconds(Number(headers, "X-Sim-Body-Time-Ms", 0));
  out.status = Number(headers, "X-Sim-Status", out.status);
  if (const auto type = FindHeader(headers, "X-Sim-Content-Type")) out.headers = {{"Content-Type", *type}};
  if (const auto body = FindHeader(headers, "X-Sim-Body")) out.body = *body;
  return out;
}

void CompleteRateLimit(TimePoint now, Headers* headers) {
  if (!FindHeader(*headers, "RateLimit-Limit") || FindHeader(*headers, "RateLimit-Reset")) return;
  const TimePoint reset = now + std::chrono::seconds(Number(*headers, "Retry-After", 60));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(reset.time_since_epoch()).count();
  headers->emplace_back("RateLimit-Reset", std::to_string(seconds));
  headers->emplace_back("RateLimit-ResetTime", HttpDateText(reset));
}

void FaultPlan::Add(Fault fault) {
  std::regex path(fault.path_regex);
  planned_.push_back({std::move(fault), std::move(path)});
}

std::optional<Fault> FaultPlan::Take(const HttpRequest& request) {
  for (auto at = planned_.begin(); at != planned_.end(); ++at) {
    Fault& fault = at->fault;
    if (!fault.method.empty() && fault.method != request.method) continue;
    if (!fault.path_regex.empty() && !std::regex_search(request.target, at->path)) continue;
    if (request.body.find(fault.body_contains) == std::string::npos) continue;
    Fault taken = fault;
    if (fault.times > 0 && --fault.times == 0) planned_.erase(at);
    return taken;
  }
  return std::nullopt;
}

}  // namespace tokenbroker::gitlab_sim
