// The instance as a pure function: a request goes in, the state changes, a response comes out. No I/O, one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/gitlab_sim/routes.h"
#include "tests/gitlab_sim/state.h"
#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

class Model {
 public:
  Model(std::function<TimePoint()> clock, const std::string& version, uint64_t seed);

  // Everything below /api/v4. What no route knows is answered 501 and remembered.
  HttpResponse Handle(const HttpRequest& request);
  // Remembers a request that nobody serves and answers 501.
  HttpResponse Unknown(const HttpRequest& request);
  // Date, X-Request-Id, ETag and what else every answer of the application carries.
  void AddCommonHeaders(const HttpRequest& request, HttpResponse* response);

  State& state() { return state_; }
  const State& state() const { return state_; }
  void set_base_url(const std::string& url) { base_url_ = url; }
  const std::string& base_url() const { return base_url_; }
  const std::vector<std::string>& unknown_routes() const { return unknown_routes_; }

 private:
  HttpResponse Dispatch(const HttpRequest& request);
  HttpResponse Run(const Route& route, Call* call);
  std::string NextRequestId();
  void AddRateLimitHeaders(HttpResponse* response);

  State state_;
  std::string base_url_ = "http://gitlab.example.test";
  struct CompiledRoute {
    Route route;
    std::vector<std::string> segments;
  };
  std::vector<CompiledRoute> routes_;
  std::vector<std::string> unknown_routes_;
  uint64_t requests_ = 0;
  int64_t window_ = 0;  // Of the rate limit: minutes since the epoch.
  int observed_ = 0;    // Requests in it.
};

}  // namespace tokenbroker::gitlab_sim
