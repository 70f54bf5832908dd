// Tokens that a newer policy would not grant: found, shown with the reason, and revoked only as they were shown.

#include <google/protobuf/text_format.h>

#include "server/broker/broker_fixture.h"
#include "server/telemetry/metrics_page.h"

namespace tokenbroker {
namespace {

constexpr char kCallers[] = R"(
  callers { name: "ci" identities { spiffe: "spiffe://test/ci" } }
  callers { name: "team-{team}.{name}" identities { spiffe: "spiffe://test/ns/{team}/sa/{name}" } }
  callers { name: "warden" identities { spiffe: "spiffe://test/warden" } }
  roles { key: "warden" value { grants { verbs: "reconcile" } } }
  bindings { callers: "warden" roles: "warden" })";

constexpr char kWide[] = R"(
  roles { key: "maker" value {
    grants { verbs: "create" targets { user: 42 } targets { project: "acme/*" } scopes: ["read_api", "api"]
             self_extending: true max_access_level: 30 max_ttl: "30d" } } }
  roles { key: "team" value {
    grants { verbs: "create" targets { project: "acme/{name}" } scopes: "read_api" max_access_level: 30
             max_ttl: "8h" } } }
  bindings { callers: "ci" roles: "maker" }
  bindings { callers: "team-{team}.{name}" roles: "team" })";

class ViolationsTest : public BrokerTest {
 protected:
  ViolationsTest() { Put(kWide, "wide"); }

  void Put(const std::string& rules, const std::string& version) {
    config::v1::Policy source;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kCallers + rules, &source));
    const auto policy = Policy::Compile(source, version, {});
    ASSERT_TRUE(policy.ok()) << policy.status();
    policies_->Set(*policy);
  }
  absl::StatusOr<ViolationPage> Page(int size = 0, const std::string& token = "",
                                     const std::string& caller = "warden") {
    return loop_.Finish(broker_->ListViolations(CallerNamed(caller), size, token));
  }
  std::map<TokenId, std::string> Violations() {
    const absl::StatusOr<ViolationPage> page = Page(1000);
    EXPECT_TRUE(page.ok()) << page.status();
    std::map<TokenId, std::string> details;
    if (!page.ok()) return details;
    for (const PolicyViolation& each : page->violations) details[each.token.id] = each.detail;
    return details;
  }
  absl::StatusOr<std::vector<Token>> RevokeThese(const std::vector<TokenId>& ids,
                                                 const std::string& caller = "warden") {
    return loop_.Finish(broker_->RevokeViolations(CallerNamed(caller), ids));
  }
  TokenId Made(const CreateRequest& request) {
    const absl::StatusOr<Created> made = Create(request);
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? made->token.id : "";
  }
  TokenId MadeByTeam(const std::string& team, const std::string& name) {
    const Caller caller{"team-" + team + "." + name,
                        "spiffe://test/ns/" + team + "/sa/" + name,
                        "team-{team}.{name}",
                        {{"team", team}, {"name", name}}};
    const absl::StatusOr<Created> made = loop_.Finish(broker_->Create({}, caller, ProjectToken()));
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? made->token.id : "";
  }
};

TEST_F(ViolationsTest, UnderThePolicyThatGrantedThemThereAreNone) {
  Made(UserToken());
  Made(ProjectToken());
  MadeByTeam("blue", "payments");
  EXPECT_TRUE(Violations().empty());
  EXPECT_EQ(Page()->policy_version, "wide");
}

TEST_F(ViolationsTest, EachHasItsReason) {
  CreateRequest long_one = UserToken();
  long_one.ttl = hours(24);
  const TokenId too_long = Made(long_one);
  const TokenId good = Made(UserToken());
  CreateRequest strong = UserToken();
  strong.scopes = {"api"};
  const TokenId too_strong = Made(strong);
  const TokenId denied = Made(ProjectToken());
  Put(R"(
    roles { key: "maker" value {
      grants { verbs: "create" targets { user: 42 } targets { project: "acme/*" } scopes: "read_api"
               max_access_level: 30 max_ttl: "8h" } } }
    bindings { callers: "ci" roles: "maker" }
    denies { targets { project: "acme/payments" } })",
      "narrow");
  const std::map<TokenId, std::string> found = Violations();
  EXPECT_EQ(found.size(), 3u);
  EXPECT_FALSE(found.contains(good));
  EXPECT_NE(found.at(too_long).find("ttl"), std::string::npos) << found.at(too_long);
  EXPECT_NE(found.at(too_strong).find("scope api"), std::string::npos) << found.at(too_strong);
  EXPECT_NE(found.at(denied).find("denies[0]"), std::string::npos) << found.at(denied);
}

TEST_F(ViolationsTest, AnOwnerMadeFromCapturesIsJudgedByWhatTheyCaught) {
  const TokenId mine = MadeByTeam("blue", "payments");
  EXPECT_TRUE(Violations().empty());
  Restart();
  EXPECT_TRUE(Violations().empty());
  Put(R"(
    roles { key: "team" value {
      grants { verbs: "create" targets { project: "acme/{team}" } scopes: "read_api" max_access_level: 30
               max_ttl: "8h" } } }
    bindings { callers: "team-{team}.{name}" roles: "team" })",
      "by team");
  EXPECT_EQ(Violations().count(mine), 1u);
}

TEST_F(ViolationsTest, AnOwnerWhoIsNoCallerAnyMoreIsOne) {
  const TokenId id = Made(UserToken());
  config::v1::Policy source;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(R"(
    callers { name: "warden" identities { spiffe: "spiffe://test/warden" } }
    roles { key: "warden" value { grants { verbs: "reconcile" } } }
    bindings { callers: "warden" roles: "warden" })",
                                                            &source));
  policies_->Set(*Policy::Compile(source, "nobody", {}));
  EXPECT_EQ(Violations().at(id), "the policy has no caller ci");
}

// What GitLab says of the targets is asked for by each walk of the reconciler.
TEST_F(ViolationsTest, ATargetThatTheFactsOfTodayForbidIsOne) {
  const TokenId users = Made(UserToken());
  const TokenId projects = Made(ProjectToken());
  StartJobs();
  Pass(minutes(15));
  EXPECT_TRUE(Violations().empty());

  gitlab_.user(42).is_admin = true;
  EXPECT_TRUE(Violations().empty());
  Pass(minutes(11));
  ASSERT_EQ(Violations().size(), 1u);
  EXPECT_NE(Violations().at(users).find("administrator"), std::string::npos) << Violations().at(users);
  EXPECT_NE(MetricsPage(metrics_).find("tokenbroker_reconcile_denied_target_tokens 1\n"), std::string::npos);

  gitlab_.user(42).is_admin = false;
  gitlab_.AddProject(7, "elsewhere/payments");
  Pass(minutes(11));
  ASSERT_EQ(Violations().size(), 1u);
  EXPECT_NE(Violations().at(projects).find("elsewhere/payments"), std::string::npos) << Violations().at(projects);

  ASSERT_TRUE(RevokeThese({projects}).ok());
  Pass(seconds(5));
  EXPECT_EQ(StateOf(projects), TokenState::kRevoked);
  EXPECT_EQ(StateOf(users), TokenState::kActive);
  Pass(minutes(11));
  EXPECT_NE(MetricsPage(metrics_).find("tokenbroker_reconcile_denied_target_tokens 0\n"), std::string::npos);
}

TEST_F(ViolationsTest, WhatIsKnownOfATargetOutlivesAWalkThatCannotAskForIt) {
  const TokenId id = Made(UserToken());
  StartJobs();
  gitlab_.user(42).active = false;
  Pass(minutes(12));
  EXPECT_EQ(Violations().count(id), 1u);
  gitlab_.set_fails([](const ResolvedTarget& target) { return target.id == 42; });
  Pass(minutes(30));
  EXPECT_EQ(Violations().count(id), 1u);
}

TEST_F(ViolationsTest, TheyComeInPages) {
  std::vector<TokenId> all;
  for (int i = 0; i < 5; ++i) all.push_back(Made(UserToken()));
  Put("", "nothing");
  std::vector<TokenId> seen;
  std::string token;
  int pages = 0;
  do {
    const absl::StatusOr<ViolationPage> page = Page(2, token);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const PolicyViolation& each : page->violations) seen.push_back(each.token.id);
    token = page->next_page_token;
    ++pages;
  } while (!token.empty());
  EXPECT_GE(pages, 3);
  std::sort(seen.begin(), seen.end());
  std::sort(all.begin(), all.end());
  EXPECT_EQ(seen, all);
  EXPECT_EQ(ReasonOf(Page(0, "x1").status()), "PAGE_TOKEN_INVALID");
  EXPECT_EQ(ReasonOf(Page(-1).status()), "FIELD_INVALID");
}

TEST_F(ViolationsTest, TheVerbOpensThemAlone) {
  const TokenId id = Made(UserToken());
  EXPECT_EQ(ReasonOf(Page(0, "", "ci").status()), "NOT_GRANTED");
  EXPECT_EQ(ReasonOf(RevokeThese({id}, "ci").status()), "NOT_GRANTED");
  EXPECT_EQ(StateOf(id), TokenState::kActive);
}

TEST_F(ViolationsTest, ExactlyThoseAreRevokedAndDie) {
  const TokenId first = Made(UserToken());
  const TokenId second = Made(ProjectToken());
  const TokenId kept = Made(UserToken());
  Put("", "nothing");
  StartJobs();
  const absl::StatusOr<std::vector<Token>> tokens = RevokeThese({first, second});
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  ASSERT_EQ(tokens->size(), 2u);
  for (const Token& token : *tokens) {
    EXPECT_EQ(token.state, TokenState::kRevoking);
    EXPECT_EQ(token.revoke_reason, RevokeReason::kPolicy);
  }
  Pass(seconds(5));
  EXPECT_EQ(StateOf(first), TokenState::kRevoked);
  EXPECT_EQ(StateOf(second), TokenState::kRevoked);
  EXPECT_EQ(StateOf(kept), TokenState::kActive);
  EXPECT_EQ(gitlab_.live().size(), 1u);
}

TEST_F(ViolationsTest, IfOneIsNoneAnyMoreNothingIsDone) {
  const TokenId first = Made(UserToken());
  const TokenId second = Made(UserToken());
  EXPECT_EQ(ReasonOf(RevokeThese({first}).status()), "TOKEN_CHANGED");  // The policy grants it.
  Put("", "nothing");
  ASSERT_TRUE(Revoke(second).ok());
  EXPECT_EQ(ReasonOf(RevokeThese({first, second}).status()), "TOKEN_CHANGED");
  EXPECT_EQ(ReasonOf(RevokeThese({first, std::string(26, '0')}).status()), "TOKEN_CHANGED");
  EXPECT_EQ(StateOf(first), TokenState::kActive);
}

}  // namespace
}  // namespace tokenbroker
