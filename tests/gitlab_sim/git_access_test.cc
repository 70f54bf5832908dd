// Git over HTTP: the rules without git, and real git against the simulator.
#include "tests/gitlab_sim/git_access.h"

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "gtest/gtest.h"
#include "tests/gitlab_sim/gitlab_sim.h"
#include "tests/gitlab_sim/test_instance.h"

namespace tokenbroker::gitlab_sim {
namespace {

// base64("x:" + secret), for the secrets used below.
std::string Basic(const std::string& pair) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < pair.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j) bits = (bits << 8U) | (i + j < pair.size() ? static_cast<uint8_t>(pair[i + j]) : 0U);
    for (size_t j = 0; j < 4; ++j) out += i + j > pair.size() ? '=' : kDigits[(bits >> (18U - 6U * j)) & 63U];
  }
  return "Basic " + out;
}

class GitRulesTest : public ::testing::Test {
 protected:
  // "200" if git may run, else status and text.
  std::string Ask(const std::string& secret, const std::string& service = "git-upload-pack",
                  const std::string& user = "anyone") {
    HttpRequest request;
    request.method = "GET";
    request.target = "/acme/payments.git/info/refs?service=" + service;
    if (!secret.empty()) request.headers = {{"Authorization", Basic(user + ":" + secret)}};
    const GitDecision decision = DecideGit(&gitlab_.model.state(), request);
    if (!decision.refusal) return "200";
    return std::to_string(decision.refusal->status) + " " + decision.refusal->body.substr(0, 60);
  }

  static constexpr const char* kDenied = "401 HTTP Basic: Access denied. The token is wrong, has expired o";
  TestInstance gitlab_;
};

TEST_F(GitRulesTest, ScopesDecideFirst) {
  gitlab_.AddToken(gitlab_.dan, "reader", {"read_repository"});
  gitlab_.AddToken(gitlab_.dan, "writer", {"write_repository"});
  gitlab_.AddToken(gitlab_.dan, "api-reader", {"read_api"});
  gitlab_.AddToken(gitlab_.dan, "user-reader", {"read_user"});
  for (const char* secret : {"reader", "writer", "api-reader", "dan"}) EXPECT_EQ(Ask(secret), "200") << secret;
  EXPECT_EQ(Ask("user-reader"), "403 You are not allowed to download code.");
  EXPECT_EQ(Ask("writer", "git-receive-pack"), "200");
  EXPECT_EQ(Ask("reader", "git-receive-pack"), "403 You are not allowed to upload code.");
}

TEST_F(GitRulesTest, DeadAndUnknownTokensLookAlike) {
  gitlab_.AddToken(gitlab_.dan, "expired", {"api"}, "2026-06-24");
  gitlab_.AddToken(gitlab_.dan, "revoked", {"api"});
  gitlab_.Delete("/personal_access_tokens/self", "revoked");
  for (const char* secret : {"expired", "revoked", "never-was", ""}) EXPECT_EQ(Ask(secret), kDenied) << secret;
  EXPECT_EQ(Ask("dan", "git-upload-pack", ""), kDenied) << "the user name may be anything but empty";
}

TEST_F(GitRulesTest, RolesAndSight) {
  gitlab_.model.state().SetMember({ResourceKind::kProject, gitlab_.project}, gitlab_.dan, 10);
  EXPECT_EQ(Ask("dan"), "403 You are not allowed to download code from this project.");
  gitlab_.model.state().SetMember({ResourceKind::kProject, gitlab_.project}, gitlab_.dan, 20);
  EXPECT_EQ(Ask("dan"), "200");
  EXPECT_EQ(Ask("dan", "git-receive-pack"), "403 You are not allowed to push code to this project.");
  EXPECT_EQ(Ask("zoe"), "404 The project you were looking for could not be found or you d");
  const std::string bot = Field(
      gitlab_.Post("/groups/acme/access_tokens", "olga", R"({"name":"n","scopes":["api"],"expires_at":"2026-07-01"})"),
      "token");
  EXPECT_EQ(Ask(bot), "200") << "a bot of the group above";
  gitlab_.model.state().settings().git_bot_lag = std::chrono::seconds(5);
  EXPECT_EQ(Ask(bot), kDenied) << "until its membership is known";
  gitlab_.now += std::chrono::seconds(5);
  EXPECT_EQ(Ask(bot), "200");
}

TEST(GitHttpTest, ClonesWithALiveTokenAndNotWithADeadOne) {
  const char* base = std::getenv("TEST_TMPDIR");
  ASSERT_NE(base, nullptr);
  const std::string root = std::string(base) + "/repositories";
  std::filesystem::create_directories(root);
  Options options;
  options.git_root = root;
  const std::unique_ptr<GitLabSim> sim = GitLabSim::Start(options);
  const int64_t dan = sim->AddUser({.username = "dan"});
  const int64_t project = sim->AddProject({.full_path = "acme/payments", .repository = true});
  sim->AddProjectMember(project, dan, 30);
  TokenSeed seed;
  seed.user_id = dan;
  seed.scopes = {"write_repository"};
  const SeededToken token = sim->AddToken(seed);
  const std::string url = "http://x:" + token.secret + "@" + sim->url().substr(7) + "/acme/payments.git";
  const auto git = [&](std::vector<std::string> argv) {
    argv.insert(argv.begin(), "git");
    return RunAndWait({.argv = std::move(argv),
                       .environment = {"PATH=/usr/bin:/bin", "HOME=" + root, "GIT_TERMINAL_PROMPT=0",
                                       "GIT_AUTHOR_NAME=d", "GIT_AUTHOR_EMAIL=d@example.test", "GIT_COMMITTER_NAME=d",
                                       "GIT_COMMITTER_EMAIL=d@example.test"},
                       .input = ""})
        .exit_code;
  };
  const std::string copy = root + "/copy";
  ASSERT_EQ(git({"clone", "--quiet", url, copy}), 0);
  EXPECT_TRUE(std::filesystem::exists(copy + "/README.md"));
  ASSERT_EQ(git({"-C", copy, "commit", "--quiet", "--allow-empty", "-m", "second"}), 0);
  EXPECT_EQ(git({"-C", copy, "push", "--quiet", "origin", "HEAD:main"}), 0);
  sim->RevokeToken(token.id);
  EXPECT_NE(git({"-C", copy, "fetch", "--quiet"}), 0);
}

}  // namespace
}  // namespace tokenbroker::gitlab_sim
