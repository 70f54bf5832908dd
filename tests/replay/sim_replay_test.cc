// The simulator against recorded traffic of real GitLab instances: the same request must get the same status, the same
// JSON keys and types, the same header names, and of an error the very same body.
//
// The recordings lie in RECORDINGS_DIR; without it there is nothing to compare with. Each flow meets a fresh instance
// whose clock stands at the step's Date header. Ids differ between the two worlds: what an answer calls by an id or a
// user name is remembered, and later paths are translated.
#include <algorithm>
#include <cctype>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/model.h"
#include "tests/gitlab_sim/params.h"
#include "tests/replay/recordings.h"

namespace tokenbroker::gitlab_sim {
namespace {

using nlohmann::json;

// Who asks, one letter a step: R the administrator's "Root token", A another one of the administrator, T the one that
// is rotated, U a normal user's, N the token that the flow made last, X a text that is no token.
// A flow that is not here is asked with R throughout.
const std::map<std::string, std::string>& Credentials() {
  static const std::map<std::string, std::string> kCredentials = {
      {"TestGitlabClient_InvalidToken", "XXXXXXXXX"},
      {"TestGitlabClient_RotateCurrentToken", "TTT"},
      {"TestPathConfigList_multiple_configs", "RRAAUU"},
      {"TestPathConfig_invalid_token", "X"},
      {"TestPathConfig_patch_a_config", "RRAA"},
      {"TestPathTokenRolesMultipleConfigs", "AAUURRRRNRRRNRANAUNU"},
      {"TestWithAdminUser_PAT_AdminUser_GitlabRevokesToken", "AAAANN"},
      {"TestWithAdminUser_PAT_AdminUser_VaultRevokesToken", "AAAANAN"},
      {"TestWithGroupDeployToken", "UUUUUUU"},
      {"TestWithNormalUser_GAT", "UUUNUN"},
      {"TestWithNormalUser_PersonalAT_Fails", "UUUU"},
      {"TestWithNormalUser_ProjectAT", "UUUNUN"},
      {"TestWithPipelineProjectTriggerAccessToken", "UUUUUUU"},
      {"TestWithProjectDeployToken", "UUUUUUU"},
      {"TestWithServiceAccountGroup", "RRRRRRNNR"},
      {"TestWithServiceAccountProject", "RRRRRRNNR"},
      {"TestWithServiceAccountUser", "RRRRRNNR"},
  };
  return kCredentials;
}

// The instance that the recordings were made on, as far as the flows meet it.
void SeedWorld(State* state) {
  const int64_t root = state->AddUser({.username = "root", .name = "Administrator", .admin = true}).id;
  User& admin = state->AddUser({.username = "admin-user", .name = "Admin User", .admin = true});
  User& normal = state->AddUser({.username = "normal-user", .name = "Normal User"});
  admin.created_by = root;
  normal.created_by = root;
  const int64_t example = state->AddGroup({.full_path = "example"}).id;
  for (const char* path : {"test", "level-1", "level-1/level-2", "level-1/level-2/level-3", "service-accounts"}) {
    state->AddGroup({.full_path = path});
  }
  state->AddProject({.full_path = "service-accounts/project"});
  state->AddProject({.full_path = "example/example"});
  state->SetMember({ResourceKind::kGroup, example}, normal.id, 50);
  const std::string next_year = DateText(DayOf(state->Now()) + std::chrono::days(364));
  const auto token = [&](const std::string& secret, int64_t user_id, const std::vector<std::string>& scopes) {
    TokenSeed seed;
    seed.user_id = user_id;
    seed.name = secret;
    seed.scopes = scopes;
    seed.expires_at = next_year;
    seed.secret = secret;
    state->AddToken(seed);
  };
  token("R", admin.id, {"admin_mode", "api", "sudo"});
  token("A", admin.id, {"api"});
  token("T", admin.id, {"api"});
  token("U", normal.id, {"api"});
}

bool LeftOut(const std::string& path) {
  return path.find("/deploy_tokens") != std::string::npos || path.find("/triggers") != std::string::npos;
}

// Keys and types, and so on downwards. Of two lists their first elements are compared. `at` names the place.
void CompareShape(const json& recorded, const json& simulated, const std::string& at,
                  std::vector<std::string>* differences) {
  if (recorded.type() != simulated.type() && !(recorded.is_number() && simulated.is_number())) {
    differences->push_back(at + ": " + recorded.type_name() + " was recorded, not " + simulated.type_name());
    return;
  }
  if (recorded.is_array()) {
    if (!recorded.empty() && !simulated.empty()) CompareShape(recorded[0], simulated[0], at + "[]", differences);
    return;
  }
  if (!recorded.is_object()) return;
  // Of one flow some instances recorded a null here and others a text: it depends on what came before the flow.
  static const std::set<std::string> kNullNowAndThen = {"current_sign_in_at", "last_activity_on", "last_sign_in_at",
                                                        "note"};
  for (const auto& [key, value] : recorded.items()) {
    if (!simulated.contains(key)) {
      differences->push_back(at + "." + key + ": was recorded");
    } else if (kNullNowAndThen.count(key) == 0 || (!value.is_null() && !simulated[key].is_null())) {
      CompareShape(value, simulated[key], at + "." + key, differences);
    }
  }
  for (const auto& [key, value] : simulated.items()) {
    if (!recorded.contains(key)) differences->push_back(at + "." + key + ": was not recorded");
  }
}

bool IsNumber(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

// Kinds of things with ids of their own, by the segment of a path in front of the id.
std::string KindOf(const std::string& segment) {
  if (segment == "access_tokens" || segment == "personal_access_tokens") return "token";
  if (segment == "users" || segment == "service_accounts") return "user";
  return segment;
}

class Translation {
 public:
  // Pairs what the two answers to one request call the same thing.
  void Learn(const std::string& path, const json& recorded, const json& simulated) {
    const json& theirs = recorded.is_array() && !recorded.empty() ? recorded[0] : recorded;
    const json& ours = simulated.is_array() && !simulated.empty() ? simulated[0] : simulated;
    if (!theirs.is_object() || !ours.is_object() || !theirs.contains("id") || !ours.contains("id")) return;
    std::string kind;
    for (const std::string& segment : SegmentsOf(PathOf(path))) {
      const std::string candidate = KindOf(segment);
      if (candidate == "token" || candidate == "user" || candidate == "groups" || candidate == "projects") {
        kind = candidate;
      }
    }
    ids_[kind + "/" + theirs["id"].dump()] = ours["id"].dump();
    if (theirs.contains("user_id")) ids_["user/" + theirs["user_id"].dump()] = ours["user_id"].dump();
    if (theirs.contains("username")) names_[theirs["username"]] = ours["username"];
  }

  std::string Apply(const std::string& target) const {
    std::string out;
    std::string before;
    for (const std::string& segment : SegmentsOf(PathOf(target))) {
      const auto id = ids_.find(KindOf(before) + "/" + segment);
      out += "/" + (IsNumber(segment) && id != ids_.end() ? id->second : segment);
      before = segment;
    }
    std::string query = target.substr(PathOf(target).size());
    for (const auto& [theirs, ours] : names_) {
      const size_t at = query.find("=" + theirs);
      if (at != std::string::npos) query.replace(at + 1, theirs.size(), ours);
    }
    return out + query;
  }

 private:
  std::map<std::string, std::string> ids_;
  std::map<std::string, std::string> names_;
};

std::string VersionOf(const json& flow) {
  std::string version = flow.at("gitlab_version");
  if (std::isdigit(static_cast<unsigned char>(version[0])) != 0) return version;
  for (const json& step : flow.at("steps")) {
    if (step.at("request").at("path") == "/api/v4/metadata") version = step.at("response").at("body").at("version");
  }
  return version.substr(0, version.find('-'));
}

struct Totals {
  int flows = 0;
  int steps = 0;
  int differing = 0;
  std::map<std::string, int> left_out;  // "GET .../triggers", how often.
};

std::set<std::string> NamesOf(const Headers& headers) {
  std::set<std::string> names;
  for (const auto& [name, value] : headers) names.insert(Lower(name));
  return names;
}

std::vector<std::string> Differences(const json& recorded, const HttpResponse& simulated) {
  std::vector<std::string> out;
  if (recorded.at("status") != simulated.status) {
    return {"status " + recorded.at("status").dump() + " was recorded, not " + std::to_string(simulated.status) + " " +
            simulated.body};
  }
  const json& body = recorded.at("body");
  const json ours = simulated.body.empty() ? json() : json::parse(simulated.body, nullptr, false);
  if (simulated.status >= 400) {
    if (body != ours) out.push_back(body.dump() + " was recorded, not " + ours.dump());
  } else if (body.is_array() && body.empty() != ours.empty()) {
    out.emplace_back("one list is empty");
  } else {
    CompareShape(body, ours, "", &out);
  }
  const std::set<std::string> names = NamesOf(simulated.headers);
  for (const auto& [name, value] : recorded.at("headers").items()) {
    const std::string lower = Lower(name);
    if (lower == "content-length") continue;  // The server's, not the model's.
    if (names.count(lower) == 0) out.push_back("header " + name + " was recorded");
  }
  return out;
}

void Replay(const json& flow, Totals* totals) {
  const std::string name = flow.at("flow");
  const auto& steps = flow.at("steps");
  const auto credentials = Credentials().find(name);
  TimePoint now = *ParseHttpDate(steps.at(0).at("response").at("headers").at("Date"));
  Model model([&now] { return now; }, VersionOf(flow), 1);
  SeedWorld(&model.state());
  Translation translation;
  std::string newest;
  ++totals->flows;
  for (size_t i = 0; i < steps.size(); ++i) {
    const json& asked = steps[i].at("request");
    const json& recorded = steps[i].at("response");
    const std::string path = asked.at("path");
    const std::string method = asked.at("method");
    if (LeftOut(path)) {
      ++totals->left_out[method + (path.find("/triggers") != std::string::npos ? " triggers" : " deploy tokens")];
      continue;
    }
    now = *ParseHttpDate(recorded.at("headers").at("Date"));
    char letter = 'R';
    if (credentials != Credentials().end()) {
      ASSERT_EQ(credentials->second.size(), steps.size()) << name;
      letter = credentials->second[i];
    }
    HttpRequest request;
    request.method = method;
    request.target = translation.Apply(path);
    request.headers = {{"PRIVATE-TOKEN", letter == 'N' ? newest : std::string(1, letter)}};
    if (!asked.at("body").is_null()) {
      request.headers.emplace_back("Content-Type", "application/json");
      request.body = asked.at("body").dump();
    }
    const HttpResponse simulated = model.Handle(request);
    ++totals->steps;
    const std::vector<std::string> differences = Differences(recorded, simulated);
    if (!differences.empty()) ++totals->differing;
    for (const std::string& difference : differences) {
      ADD_FAILURE() << model.state().version().text << " " << name << " " << method << " " << path << ": "
                    << difference;
    }
    const json ours = json::parse(simulated.body, nullptr, false);
    if (ours.is_object() && ours.contains("token")) newest = ours["token"];
    translation.Learn(path, recorded.at("body"), ours);
  }
  EXPECT_TRUE(model.unknown_routes().empty()) << name << ": " << model.unknown_routes().front();
}

TEST(SimulatorReplayTest, AnswersAsTheRecordedInstancesDid) {
  const std::vector<json> flows = ReadRecordedFlows();
  if (flows.empty()) {
    GTEST_SKIP() << "skipped: RECORDINGS_DIR names no folder with recordings";
  }
  Totals totals;
  for (const json& flow : flows) Replay(flow, &totals);
  std::cout << "simulator replay: " << totals.flows << " flows, " << totals.steps << " steps asked, "
            << totals.differing << " differ\n";
  for (const auto& [what, count] : totals.left_out) {
    std::cout << "simulator replay: left out, not served: " << what << " (" << count << " steps)\n";
  }
  EXPECT_GT(totals.steps, 0);
}

}  // namespace
}  // namespace tokenbroker::gitlab_sim
