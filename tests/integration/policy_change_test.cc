// A policy is tightened as an operator does it: what would it change, who has too much now, away with that. Real
// broker, real tokenctl.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "tests/integration/broker_process.h"
#include "tests/support/subprocess.h"

namespace tokenbroker {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

TEST(PolicyChangeTest, TheDifferenceIsForetoldAndTheViolationsAreRevoked) {
  House house;
  const std::string operators =
      "  - name: operator\n    identities:\n      - spiffe: spiffe://test/operator\nroles:\n"
      "  operator:\n    - verbs: [audit, reconcile]\n";
  std::string& policy = house.policy();
  policy.replace(policy.find("roles:\n"), 7, operators);
  policy.replace(policy.find("bindings:\n"), 10, "bindings:\n  - callers: [operator]\n    roles: [operator]\n");
  ASSERT_TRUE(house.StartBroker()) << house.output();
  const Deadline deadline = DeadlineIn(seconds(60));
  const auto client = house.Client();
  const auto kept = client->Create(UserTokenSpec(house.demo_user()), {}, deadline);
  ASSERT_TRUE(kept.ok()) << kept.status();
  const auto lost = client->Create(ProjectTokenSpec("acme/payments"), {}, deadline);
  ASSERT_TRUE(lost.ok()) << lost.status();
  v1::Token strong = UserTokenSpec(house.demo_user());
  strong.add_scopes("api");
  ASSERT_FALSE(client->Create(strong, {}, deadline).ok());

  // The new policy: no projects any more, but api for the user.
  std::string tighter = policy;
  tighter.replace(tighter.find("        - project: acme/*\n"), 26, "");
  tighter.replace(tighter.find("scopes: [read_user,"), 19, "self_extending: true\n      scopes: [api, read_user,");
  std::ofstream(house.path("tighter.yaml")) << tighter;
  const auto [certificate, key] = house.ClientFiles("spiffe://test/operator");
  const auto tokenctl = [&, &certificate = certificate, &key = key](std::vector<std::string> words) {
    words.insert(words.begin(), {std::string(std::getenv("TOKENCTL")), "policy"});
    return RunProcess(words, {{"TOKENBROKER_ADDRESS", house.grpc_address()},
                              {"TOKENBROKER_CA", house.path("ca.pem")},
                              {"TOKENBROKER_CERT", certificate},
                              {"TOKENBROKER_KEY", key}});
  };
  const Finished diff = tokenctl({"diff", house.path("policy.yaml"), house.path("tighter.yaml"), "--output", "table"});
  EXPECT_EQ(diff.exit_code, 1) << diff.error;
  EXPECT_THAT(diff.out, HasSubstr("3 requests replayed, 2 differences"));
  EXPECT_THAT(diff.out, testing::ContainsRegex("demo +lose +create project:acme/payments"));
  EXPECT_THAT(diff.out, testing::ContainsRegex("demo +may gain +create user:[0-9]+ .*api"));

  EXPECT_THAT(tokenctl({"violations", "--output", "table"}).out, HasSubstr("No violations."));
  policy = tighter;
  ASSERT_EQ(house.StopBroker(), 0) << house.output();
  ASSERT_TRUE(house.StartBroker()) << house.output();
  const Finished found = tokenctl({"violations", "--output", "table"});
  EXPECT_THAT(found.out, HasSubstr(lost->token.name()));
  EXPECT_THAT(found.out, Not(HasSubstr(kept->token.name())));
  EXPECT_EQ(tokenctl({"violations", "--revoke", "--expect", "2"}).exit_code, 7);
  // GitLab answers 403 to a living token without the scope, 401 to a dead one.
  EXPECT_EQ(UseToken(house.gitlab().url() + "/api/v4/user", lost->secret.Reveal()), 403);
  const Finished revoked = tokenctl({"violations", "--revoke", "--expect", "1"});
  EXPECT_EQ(revoked.exit_code, 0) << revoked.error;
  const auto again = house.Client();
  EXPECT_TRUE(Eventually([&] {
    const absl::StatusOr<v1::Token> token = again->Get(lost->token.name(), DeadlineIn(seconds(20)));
    return token.ok() && token->state() == v1::TOKEN_STATE_REVOKED &&
           token->revoke_reason() == v1::REVOKE_REASON_POLICY;
  }));
  EXPECT_EQ(UseToken(house.gitlab().url() + "/api/v4/user", lost->secret.Reveal()), 401);
  EXPECT_EQ(UseToken(house.gitlab().url() + "/api/v4/user", kept->secret.Reveal()), 200);
  EXPECT_EQ(house.StopBroker(), 0) << house.output();
}

// `policy` with so many roles that it takes a while to read.
std::string Enlarged(const std::string& policy) {
  std::string roles;
  for (int i = 0; i < 12'000; ++i) {
    roles += "  spare" + std::to_string(i) +
             ":\n    - verbs: [create]\n      instance: main\n      targets:\n        - project: acme/spare" +
             std::to_string(i) + "\n      scopes: [read_repository]\n      max_access_level: 20\n      max_ttl: 1h\n";
  }
  std::string large = policy;
  return large.insert(large.find("roles:\n") + 7, roles);
}

TEST(PolicyChangeTest, ALargePolicyHoldsUpNeitherProbesNorCalls) {
  House house;
  const std::string small = house.policy();
  house.policy() = Enlarged(small);
  house.Launch();
  // The process is live while it reads its policy, and not ready.
  EXPECT_TRUE(Eventually([&] { return !house.http_address().empty(); }));
  int live = 0;
  int ready = 0;
  EXPECT_TRUE(Eventually([&] {
    house.Fetch("/readyz", &ready);
    house.Fetch("/livez", &live);
    return ready != 0;
  }));
  EXPECT_EQ(ready, 503);
  EXPECT_EQ(live, 200);
  ASSERT_TRUE(Eventually([&] {
    house.Fetch("/readyz", &ready);
    return ready == 200;
  })) << house.output();

  // The time that the policy takes is measured beside it, by the same code in another process.
  const auto began = std::chrono::steady_clock::now();
  const Finished lint =
      RunProcess({std::string(std::getenv("TOKENCTL")), "policy", "lint", house.path("policy.yaml")}, {});
  const auto takes = std::chrono::steady_clock::now() - began;
  ASSERT_EQ(lint.exit_code, 0) << lint.error;
  const auto client = house.Client();
  std::ofstream(house.path("new.yaml")) << Enlarged(small) << "# changed\n";
  std::filesystem::rename(house.path("new.yaml"), house.path("policy.yaml"));
  auto longest = std::chrono::steady_clock::duration::zero();
  const auto loads = [&] {
    const std::string text = house.output();
    std::size_t count = 0;
    for (std::size_t at = text.find("policy loaded"); at != text.npos; at = text.find("policy loaded", at + 1)) ++count;
    return count;
  };
  EXPECT_TRUE(Eventually([&] {
    const auto start = std::chrono::steady_clock::now();
    const auto page = client->List({}, DeadlineIn(seconds(30)));
    longest = std::max(longest, std::chrono::steady_clock::now() - start);
    EXPECT_TRUE(page.ok()) << page.status();
    return loads() == 2;
  }));
  EXPECT_LT(longest, takes / 2);
}

}  // namespace
}  // namespace tokenbroker
