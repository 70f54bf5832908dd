// The adapter against recorded traffic of real GitLab instances: a server says what they said, and what the adapter
// makes of it must agree with the recorded bodies.
//
// Each step that the adapter speaks is driven by itself, with an adapter of its own. What the adapter asks besides (who
// it is, whether it is an administrator) gets the flow's nearest recorded answer to that question, or a made-up one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/gitlab/http_gitlab_fixture.h"
#include "tests/gitlab_sim/http_loop.h"
#include "tests/replay/recordings.h"

namespace tokenbroker {
namespace {

using gitlab_sim::HttpLoop;
using gitlab_sim::HttpRequest;
using gitlab_sim::HttpResponse;
using gitlab_sim::Reply;
using nlohmann::json;

constexpr char kSelf[] = "/api/v4/personal_access_tokens/self";
constexpr char kMetadata[] = "/api/v4/metadata";

HttpResponse ResponseOf(const json& recorded) {
  HttpResponse response;
  response.status = recorded.at("status");
  for (const auto& [name, value] : recorded.at("headers").items()) {
    if (name != "Content-Length") response.headers.emplace_back(name, value);  // Bodies are kept parsed.
  }
  const json& body = recorded.at("body");
  if (body.is_string()) {
    response.body = body;
  } else if (!body.is_null()) {
    response.body = body.dump();
  }
  return response;
}

HttpResponse MadeUp(int status, const json& body) {
  return {status, {{"Content-Type", "application/json"}, {"X-Gitlab-Meta", "{}"}}, body.dump()};
}

bool IsAskedBy(const json& step, const std::string& method, const std::string& path) {
  return step.at("request").at("method") == method && step.at("request").at("path") == path;
}

// The flow's answer to a request that is nearest to one of its steps.
const json* NearestAnswer(const json& flow, std::size_t at, const std::string& method, const std::string& path) {
  const json* nearest = nullptr;
  std::size_t least = 0;
  const json& steps = flow.at("steps");
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::size_t distance = i < at ? at - i : i - at;
    if (!IsAskedBy(steps[i], method, path) || (nearest != nullptr && distance >= least)) continue;
    nearest = &steps[i].at("response");
    least = distance;
  }
  return nearest;
}

class ReplayServer {
 public:
  ReplayServer() {
    port_ = loop_.Listen(
        0, [this](const HttpRequest& request, const std::shared_ptr<Reply>& reply) { reply->Send(AnswerTo(request)); });
    loop_.Start();
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  void StandAt(const json* flow, std::size_t step) {
    const std::lock_guard lock(mutex_);
    flow_ = flow;
    step_ = step;
    bodies_.clear();
  }
  // The bodies of the requests that were the step's own.
  std::vector<std::string> bodies() {
    const std::lock_guard lock(mutex_);
    return bodies_;
  }

 private:
  HttpResponse AnswerTo(const HttpRequest& request) {
    const std::lock_guard lock(mutex_);
    if (IsAskedBy(flow_->at("steps")[step_], request.method, request.target)) bodies_.push_back(request.body);
    const json* recorded = NearestAnswer(*flow_, step_, request.method, request.target);
    if (recorded != nullptr) return ResponseOf(*recorded);
    if (request.target == kSelf) return MadeUp(200, {{"id", 1}, {"user_id", 1}, {"scopes", json::array({"api"})}});
    if (request.target == "/api/v4/user" || request.target == "/api/v4/application/settings" ||
        request.target == kMetadata) {
      return MadeUp(403, {{"message", "403 Forbidden"}});
    }
    ADD_FAILURE() << "was not recorded: " << request.method << " " << request.target;
    return MadeUp(404, {{"error", "404 Not Found"}});
  }

  std::mutex mutex_;
  const json* flow_ = nullptr;
  std::size_t step_ = 0;
  std::vector<std::string> bodies_;
  std::uint16_t port_ = 0;
  HttpLoop loop_;  // Last: it uses all of the above.
};

std::string Decoded(const std::string& segment) { return std::regex_replace(segment, std::regex("%2F"), "/"); }

std::optional<Date> DateIn(const json& body, const char* key) {
  return body.at(key).is_string() ? ParseDate(body.at(key).get<std::string>()) : std::nullopt;
}

std::optional<WallTime> TimeIn(const json& body, const char* key) {
  return body.at(key).is_string() ? ParseRfc3339(body.at(key).get<std::string>()) : std::nullopt;
}

// The reason that a refusal with this status must have.
std::string ReasonFor(int status) {
  if (status == 401) return "ISSUER_DEAD";  // In every flow that has one, the credential itself is bad.
  return status == 404 ? "UPSTREAM_NOT_FOUND" : "ISSUER_NOT_ALLOWED";
}

void ExpectAgrees(const UpstreamToken& token, const json& body) {
  EXPECT_EQ(token.id, body.at("id"));
  EXPECT_EQ(token.user_id, body.at("user_id"));
  EXPECT_EQ(token.name, body.at("name"));
  EXPECT_EQ(json(token.scopes), body.at("scopes"));
  EXPECT_EQ(token.revoked, body.at("revoked"));
  EXPECT_EQ(token.active, body.at("active"));
  EXPECT_EQ(token.access_level, body.value("access_level", 0));
  EXPECT_EQ(token.created_at, TimeIn(body, "created_at"));
  EXPECT_EQ(token.last_used_at, TimeIn(body, "last_used_at"));
  EXPECT_EQ(token.expires_at, DateIn(body, "expires_at"));
}

struct Step {
  const json& flow;
  std::size_t index;
  const json& request;
  const json& response;
  int status;
  AdapterUnderTest& adapter;
  ReplayServer& server;
};

void CheckIssuer(const Step& step) {
  const absl::StatusOr<IssuerFacts> facts = step.adapter.Run(step.adapter.gitlab().CheckIssuer({}));
  if (step.status != 200) {
    EXPECT_EQ(ReasonOf(facts.status()), ReasonFor(step.status));
    return;
  }
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_FALSE(facts->is_admin);
  const json* self = NearestAnswer(step.flow, step.index, "GET", kSelf);
  if (self != nullptr) {
    const json& body = self->at("body");
    EXPECT_EQ(facts->token_id, body.at("id"));
    EXPECT_EQ(facts->user_id, body.at("user_id"));
    EXPECT_EQ(json(facts->scopes), body.at("scopes"));
    EXPECT_EQ(facts->expires_at, DateIn(body, "expires_at"));
  }
  const json* metadata = NearestAnswer(step.flow, step.index, "GET", kMetadata);
  const std::string version = metadata == nullptr ? "" : metadata->at("body").at("version").get<std::string>();
  EXPECT_EQ(facts->gitlab_version, version);
  EXPECT_TRUE(step.adapter.gitlab().Time().has_value());
}

void Resolve(const Step& step, TargetKind kind, const std::string& ref) {
  const absl::StatusOr<TargetFacts> facts =
      step.adapter.Run(step.adapter.gitlab().Resolve({}, Target{"main", kind, ref}));
  if (step.status != 200) {
    EXPECT_EQ(ReasonOf(facts.status()), ReasonFor(step.status));
    return;
  }
  json body = step.response.at("body");
  if (body.is_array()) {
    if (body.empty()) {
      EXPECT_EQ(ReasonOf(facts.status()), "UPSTREAM_NOT_FOUND");
      return;
    }
    body = json(body[0]);
  }
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->target.id, body.at("id"));
  if (kind == TargetKind::kProject) {
    EXPECT_EQ(facts->target.path, body.at("path_with_namespace"));
    return;
  }
  EXPECT_EQ(facts->target.path, body.at("username"));
  EXPECT_EQ(facts->active, body.at("state") == "active" && !body.value("locked", false));
  EXPECT_EQ(facts->bot, body.value("bot", false));
  EXPECT_EQ(facts->is_admin, body.value("is_admin", false));
}

void Mint(const Step& step, TargetKind kind, const std::string& segment) {
  const json& asked = step.request.at("body");
  MintSpec spec;
  spec.target = {"main", kind, 0, Decoded(segment)};
  spec.name = asked.at("name");
  spec.scopes = asked.at("scopes").get<std::vector<std::string>>();
  spec.access_level = asked.value("access_level", 0);
  spec.expires_at = *DateIn(asked, "expires_at");
  const Ended<Minted> end = step.adapter.Run(step.adapter.gitlab().Mint({}, step.adapter.Intent(), spec));
  const std::vector<std::string> bodies = step.server.bodies();
  ASSERT_EQ(bodies.size(), 1u);
  const json sent = json::parse(bodies[0]);
  for (const auto& [key, value] : asked.items()) EXPECT_EQ(sent.at(key), value) << key;
  if (step.status != 201) {
    EXPECT_EQ(EndOf(end), "REFUSED " + ReasonFor(step.status));
    return;
  }
  ASSERT_EQ(EndOf(end), "DONE");
  ExpectAgrees(std::get<Minted>(end).token, step.response.at("body"));
  EXPECT_EQ(std::get<Minted>(end).secret.Reveal(), step.response.at("body").at("token").get<std::string>());
}

void Revoke(const Step& step, TargetKind kind, const std::string& segment, const std::string& id) {
  const UpstreamRef ref = {{"main", kind, 0, Decoded(segment)}, std::stoll(id), 0};
  const Ended<GitLab::Deleted> end = step.adapter.Run(step.adapter.gitlab().Revoke({}, ref));
  EXPECT_EQ(EndOf(end), step.status == 204 ? "DONE" : "REFUSED " + ReasonFor(step.status));
  ASSERT_EQ(step.server.bodies().size(), 1u);
  EXPECT_EQ(step.server.bodies()[0], "{}");
}

// Drives the adapter through one step; false if it does not speak it.
bool Drive(const Step& step) {
  static const std::regex kUser("/api/v4/users/([0-9]+)");
  static const std::regex kUserNamed(R"(/api/v4/users\?username=([^&]+))");
  static const std::regex kProject("/api/v4/projects/([^/?]+)");
  static const std::regex kUserTokens("/api/v4/users/([0-9]+)/personal_access_tokens");
  static const std::regex kProjectTokens("/api/v4/projects/([^/?]+)/access_tokens");
  static const std::regex kToken("/api/v4/personal_access_tokens/([0-9]+)");
  static const std::regex kProjectToken("/api/v4/projects/([^/?]+)/access_tokens/([0-9]+)");
  const std::string method = step.request.at("method");
  const std::string path = step.request.at("path");
  std::smatch found;
  const auto is = [&](const char* verb, const std::regex& form) {
    return method == verb && std::regex_match(path, found, form);
  };
  if (method == "GET" && (path == kSelf || path == kMetadata)) {
    CheckIssuer(step);
  } else if (is("GET", kUser) || is("GET", kUserNamed)) {
    Resolve(step, TargetKind::kUser, found[1]);
  } else if (is("GET", kProject)) {
    Resolve(step, TargetKind::kProject, Decoded(found[1]));
  } else if (is("POST", kUserTokens)) {
    Mint(step, TargetKind::kUser, found[1]);
  } else if (is("POST", kProjectTokens)) {
    Mint(step, TargetKind::kProject, found[1]);
  } else if (is("DELETE", kToken)) {
    Revoke(step, TargetKind::kUser, "somebody", found[1]);
  } else if (is("DELETE", kProjectToken)) {
    Revoke(step, TargetKind::kProject, found[1], found[2]);
  } else {
    return false;
  }
  return true;
}

std::string KindOf(const json& request) {
  const std::string path = request.at("path");
  const std::string plain = std::regex_replace(path, std::regex("(groups|projects)/[^/?]+"), "$1/:id");
  return request.at("method").get<std::string>() + " " + std::regex_replace(plain, std::regex("/[0-9]+"), "/:id");
}

TEST(AdapterReplayTest, UnderstandsWhatTheRecordedInstancesSaid) {
  const std::vector<json> flows = ReadRecordedFlows();
  if (flows.empty()) {
    GTEST_SKIP() << "skipped: RECORDINGS_DIR names no folder with recordings";
  }
  ReplayServer server;
  int driven = 0;
  int whole = 0;
  std::map<std::string, int> left_out;
  for (const json& flow : flows) {
    const json& steps = flow.at("steps");
    std::size_t spoken = 0;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const json& request = steps[i].at("request");
      SCOPED_TRACE(flow.at("gitlab_version").get<std::string>() + " " + flow.at("flow").get<std::string>() + " " +
                   request.at("method").get<std::string>() + " " + request.at("path").get<std::string>());
      server.StandAt(&flow, i);
      AdapterUnderTest adapter(server.url(), "recorded");
      const json& response = steps[i].at("response");
      if (Drive({flow, i, request, response, response.at("status"), adapter, server})) {
        ++spoken;
      } else {
        ++left_out[KindOf(request)];
      }
    }
    driven += static_cast<int>(spoken);
    if (spoken == steps.size()) ++whole;
    if (spoken == 0) std::cout << "adapter replay: flow left out: " << flow.at("flow") << "\n";
  }
  std::cout << "adapter replay: " << flows.size() << " flows, " << whole << " of them whole, " << driven
            << " steps driven\n";
  for (const auto& [kind, count] : left_out) {
    std::cout << "adapter replay: left out, not spoken: " << kind << " (" << count << " steps)\n";
  }
  EXPECT_GT(driven, 0);
}

}  // namespace
}  // namespace tokenbroker
