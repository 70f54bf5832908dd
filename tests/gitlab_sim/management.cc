#include "tests/gitlab_sim/management.h"

#include <chrono>
#include <map>
#include <regex>
#include <stdexcept>
#include <utility>

#include "nlohmann/json.hpp"
#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/faults.h"
#include "tests/gitlab_sim/params.h"

namespace tokenbroker::gitlab_sim {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

milliseconds Milliseconds(const json& in, const std::string& name, milliseconds otherwise = milliseconds(0)) {
  return milliseconds(in.value(name, static_cast<int64_t>(otherwise.count())));
}

UserKind KindNamed(const std::string& name) {
  if (name == "project_bot") return UserKind::kProjectBot;
  if (name == "service_account") return UserKind::kServiceAccount;
  return UserKind::kHuman;
}

json Id(int64_t id) { return {{"id", id}}; }

json AddUser(GitLabSim& sim, const json& in) {
  return Id(sim.AddUser({.username = in.at("username"),
                         .name = in.value("name", ""),
                         .admin = in.value("admin", false),
                         .blocked = in.value("blocked", false),
                         .kind = KindNamed(in.value("kind", "human")),
                         .id = in.value("id", int64_t{0})}));
}

json AddGroup(GitLabSim& sim, const json& in) {
  return Id(sim.AddGroup({.full_path = in.at("full_path"),
                          .visibility = in.value("visibility", "private"),
                          .archived = in.value("archived", false),
                          .id = in.value("id", int64_t{0})}));
}

json AddProject(GitLabSim& sim, const json& in) {
  return Id(sim.AddProject({.full_path = in.at("full_path"),
                            .visibility = in.value("visibility", "private"),
                            .archived = in.value("archived", false),
                            .repository = in.value("repository", false),
                            .id = in.value("id", int64_t{0})}));
}

json AddMember(GitLabSim& sim, const json& in) {
  const int64_t user_id = in.at("user_id");
  const int level = in.at("access_level");
  if (in.contains("project_id")) {
    sim.AddProjectMember(in.at("project_id"), user_id, level);
  } else {
    sim.AddGroupMember(in.at("group_id"), user_id, level);
  }
  return json::object();
}

json AddToken(GitLabSim& sim, const json& in) {
  TokenSeed seed;
  seed.user_id = in.at("user_id");
  seed.name = in.value("name", seed.name);
  seed.scopes = in.value("scopes", seed.scopes);
  if (in.contains("expires_at")) seed.expires_at = in.at("expires_at").get<std::string>();
  if (in.contains("description")) seed.description = in.at("description").get<std::string>();
  seed.revoked = in.value("revoked", false);
  seed.secret = in.value("secret", "");
  const SeededToken token = sim.AddToken(seed);
  return {{"id", token.id}, {"secret", token.secret}};
}

json ListTokens(const GitLabSim& sim, const Params& query) {
  const auto is_true = [&query](const std::string& name) {
    const Param* param = query.Find(name);
    return param != nullptr && param->text == "true";
  };
  const Param* name = query.Find("name");
  json out = json::array();
  for (const TokenView& token : sim.TokensNamed(name == nullptr ? "" : name->text)) {
    if (is_true("live") && !token.live) continue;
    json row = {{"id", token.id},
                {"name", token.name},
                {"user_id", token.user_id},
                {"scopes", token.scopes},
                {"created_at", TimestampText(token.created_at)},
                {"revoked", token.revoked},
                {"live", token.live},
                {"previous_id", token.previous_id},
                {"resource_type", token.resource_type},
                {"resource_id", token.resource_id},
                {"access_level", token.access_level}};
    if (token.expires_at) row["expires_at"] = *token.expires_at;
    if (token.description) row["description"] = *token.description;
    if (is_true("secrets")) row["secret"] = token.secret;
    out.push_back(row);
  }
  return out;
}

json ListRequests(const GitLabSim& sim) {
  json out = json::array();
  for (const SeenRequest& request : sim.Requests()) {
    out.push_back({{"method", request.method},
                   {"target", request.target},
                   {"body", request.body},
                   {"status", request.status},
                   {"acted", request.acted}});
  }
  return out;
}

// {"method","path","body_contains","times"} say which; {"preset","number"} or {"action","status","headers","body"}
// and the delays in milliseconds say what.
json PlanFault(GitLabSim& sim, const json& in) {
  Fault fault;
  if (in.contains("preset")) {
    const auto preset = PresetNamed(in.at("preset"), in.value("number", 0));
    if (!preset) throw std::invalid_argument("no such preset");
    fault = *preset;
  }
  if (in.contains("action")) {
    const auto action = ActionNamed(in.at("action"));
    if (!action) throw std::invalid_argument("no such action");
    fault.action = *action;
  }
  fault.method = in.value("method", "");
  fault.path_regex = in.value("path", "");
  fault.body_contains = in.value("body_contains", "");
  fault.times = in.value("times", 1);
  fault.acts = in.value("acts", 1);
  fault.delay_before = Milliseconds(in, "delay_before_ms");
  fault.delay_after = Milliseconds(in, "delay_after_ms");
  fault.act_later = Milliseconds(in, "act_later_ms", fault.act_later);
  fault.body_time = Milliseconds(in, "body_time_ms");
  fault.status = in.value("status", fault.status);
  fault.body = in.value("body", fault.body);
  if (in.contains("headers")) {
    fault.headers.clear();
    for (const auto& [name, value] : in.at("headers").items()) fault.headers.emplace_back(name, value);
  }
  sim.Plan(std::move(fault));
  return {{"pending", sim.PendingFaults()}};
}

json SetClock(GitLabSim& sim, const json& in) {
  sim.AdvanceClock(Milliseconds(in, "advance_ms"));
  if (in.contains("set")) {
    const auto time = ParseTimestamp(in.at("set"));
    if (!time) throw std::invalid_argument("set is no time");
    sim.SetClock(*time);
  }
  return {{"now", TimestampText(sim.Now())}};
}

// Reads or writes each field by its name; `Visit` is called with name and field.
template <typename Visit>
void EachSetting(Settings* settings, Visit visit) {
  visit("require_expiry", settings->require_expiry);
  visit("max_lifetime_days", settings->max_lifetime_days);
  visit("admin_mode", settings->admin_mode);
  visit("impersonation_enabled", settings->impersonation_enabled);
  visit("service_account_expiry_enforced", settings->service_account_expiry_enforced);
  visit("token_prefix", settings->token_prefix);
  visit("rate_limit_headers", settings->rate_limit_headers);
  visit("rate_limit_per_minute", settings->rate_limit_per_minute);
  visit("read_only", settings->read_only);
  visit("admin_flag_lost", settings->admin_flag_lost);
  visit("shorten_expiry_days", settings->shorten_expiry_days);
  visit("omit_totals", settings->omit_totals);
  visit("unknown_fields", settings->unknown_fields);
}

template <typename Visit>
void EachDuration(Settings* settings, Visit visit) {
  visit("list_lag_ms", settings->list_lag);
  visit("by_id_lag_ms", settings->by_id_lag);
  visit("fresh_token_lag_ms", settings->fresh_token_lag);
  visit("git_bot_lag_ms", settings->git_bot_lag);
}

json ShowSettings(const GitLabSim& sim) {
  Settings settings = sim.settings();
  json out;
  EachSetting(&settings, [&out](const char* name, auto& field) { out[name] = field; });
  EachDuration(&settings, [&out](const char* name, const milliseconds& field) { out[name] = field.count(); });
  return out;
}

json ChangeSettings(GitLabSim& sim, const json& in) {
  Settings settings = sim.settings();
  size_t known = 0;
  EachSetting(&settings, [&](const char* name, auto& field) {
    if (!in.contains(name)) return;
    in.at(name).get_to(field);
    ++known;
  });
  EachDuration(&settings, [&](const char* name, milliseconds& field) {
    if (!in.contains(name)) return;
    field = Milliseconds(in, name);
    ++known;
  });
  if (known != in.size()) throw std::invalid_argument("unknown setting");
  sim.set_settings(settings);
  return ShowSettings(sim);
}

json ShowStatus(const GitLabSim& sim) {
  return {{"url", sim.url()},
          {"now", TimestampText(sim.Now())},
          {"open_connections", sim.OpenConnections()},
          {"pending_faults", sim.PendingFaults()}};
}

json Dispatch(GitLabSim& sim, const std::string& what, const json& in, const Params& query) {
  if (what == "GET /status") return ShowStatus(sim);
  if (what == "POST /users") return AddUser(sim, in);
  if (what == "POST /groups") return AddGroup(sim, in);
  if (what == "POST /projects") return AddProject(sim, in);
  if (what == "POST /members") return AddMember(sim, in);
  if (what == "POST /tokens") return AddToken(sim, in);
  if (what == "GET /tokens") return ListTokens(sim, query);
  if (what == "GET /requests") return ListRequests(sim);
  if (what == "GET /unknown-routes") return sim.UnknownRoutes();
  if (what == "POST /faults") return PlanFault(sim, in);
  if (what == "GET /clock") return SetClock(sim, json::object());
  if (what == "POST /clock") return SetClock(sim, in);
  if (what == "GET /settings") return ShowSettings(sim);
  if (what == "POST /settings") return ChangeSettings(sim, in);
  if (what == "DELETE /requests") {
    sim.ClearRequests();
  } else if (what == "DELETE /faults") {
    sim.ClearFaults();
  } else if (what == "POST /revoke") {
    sim.RevokeToken(in.at("token_id"));
  } else if (what == "POST /block") {
    sim.BlockUser(in.at("user_id"), in.value("blocked", true));
  } else if (what == "POST /admin") {
    sim.SetAdmin(in.at("user_id"), in.at("admin"));
  } else if (what == "POST /move") {
    sim.MoveProject(in.at("project_id"), in.at("full_path"));
  } else {
    throw std::out_of_range("no such route");
  }
  return json::object();
}

}  // namespace

HttpResponse Manage(GitLabSim& sim, const HttpRequest& request) {
  HttpResponse out{.status = 200, .headers = {{"Content-Type", "application/json"}}, .body = ""};
  Params query;
  HttpRequest without_body = request;
  without_body.body.clear();
  query.Read(without_body);
  // nlohmann-json reports what is missing or of the wrong type by exceptions.
  try {
    const json in = request.body.empty() ? json::object() : json::parse(request.body);
    out.body = Dispatch(sim, request.method + " " + PathOf(request.target), in, query).dump();
  } catch (const std::out_of_range& error) {
    out.status = 404;
    out.body = json({{"error", error.what()}}).dump();
  } catch (const std::exception& error) {
    out.status = 400;
    out.body = json({{"error", error.what()}}).dump();
  }
  return out;
}

}  // namespace tokenbroker::gitlab_sim
