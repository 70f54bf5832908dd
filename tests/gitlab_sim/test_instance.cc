#include "tests/gitlab_sim/test_instance.h"

#include "nlohmann/json.hpp"
#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/params.h"

namespace tokenbroker::gitlab_sim {

TestInstance::TestInstance(const std::string& version)
    : now(*ParseTimestamp("2026-06-24T12:00:00Z")), model([this] { return now; }, version, 1) {
  State& state = model.state();
  const auto person = [&](const std::string& name, bool admin) {
    const int64_t id = state.AddUser({.username = name, .name = name, .admin = admin}).id;
    AddToken(id, name, {"api"});
    return id;
  };
  root = person("root", true);
  maria = person("maria", false);
  dan = person("dan", false);
  olga = person("olga", false);
  zoe = person("zoe", false);
  group = state.AddGroup({.full_path = "acme"}).id;
  project = state.AddProject({.full_path = "acme/payments"}).id;
  state.SetMember({ResourceKind::kProject, project}, maria, 40);
  state.SetMember({ResourceKind::kProject, project}, dan, 30);
  state.SetMember({ResourceKind::kGroup, group}, olga, 50);
}

HttpResponse TestInstance::Call(const std::string& method, const std::string& path, const std::string& token,
                                const std::string& body) {
  HttpRequest request;
  request.method = method;
  request.target = "/api/v4" + path;
  if (!token.empty()) request.headers.emplace_back("PRIVATE-TOKEN", token);
  if (!body.empty()) request.headers.emplace_back("Content-Type", "application/json");
  request.body = body;
  return model.Handle(request);
}

int64_t TestInstance::AddToken(int64_t user_id, const std::string& name, const std::vector<std::string>& scopes,
                               const std::string& expires_at) {
  TokenSeed seed;
  seed.user_id = user_id;
  seed.name = name;
  seed.scopes = scopes;
  seed.secret = name;
  seed.expires_at = expires_at;
  return model.state().AddToken(seed).id;
}

std::string Header(const HttpResponse& response, const std::string& name) {
  return FindHeader(response.headers, name).value_or("");
}

std::string Field(const HttpResponse& response, const std::string& pointer) {
  const nlohmann::json body = nlohmann::json::parse(response.body, nullptr, false);
  const nlohmann::json::json_pointer at("/" + pointer);
  if (body.is_discarded() || !body.contains(at)) return "";
  const nlohmann::json& value = body.at(at);
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace tokenbroker::gitlab_sim
