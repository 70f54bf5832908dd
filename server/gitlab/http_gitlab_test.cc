// What the adapter reads and writes, against the simulator.
#include "server/gitlab/http_gitlab.h"

#include <gtest/gtest.h>
#include <strings.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "server/base/error.h"
#include "server/gitlab/http_gitlab_fixture.h"
#include "server/telemetry/log.h"
#include "tests/gitlab_sim/gitlab_sim.h"

namespace tokenbroker {
namespace {

using gitlab_sim::Fault;
using gitlab_sim::GitLabSim;

// With both of the supported versions, and as an administrator or as a project's maintainer.
class HttpGitLabTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    gitlab_sim::Options options;
    options.version = GetParam();
    sim_ = GitLabSim::Start(options);
    ASSERT_NE(sim_, nullptr);
    root_ = sim_->AddUser({.username = "root", .admin = true});
    maria_ = sim_->AddUser({.username = "maria"});
    demo_ = sim_->AddUser({.username = "demo-user"});
    project_ = sim_->AddProject({.full_path = "acme/payments"});
    sim_->AddProjectMember(project_, maria_, 40);
    const gitlab_sim::SeededToken seeded =
        sim_->AddToken({.user_id = root_, .name = "broker", .expires_at = "2099-01-01"});
    issuer_id_ = seeded.id;
    issuer_ = seeded.secret;
  }
  void TearDown() override {
    adapter_.reset();
    EXPECT_TRUE(sim_->UnknownRoutes().empty()) << sim_->UnknownRoutes().front();
  }

  void AsAdmin() { adapter_ = std::make_unique<AdapterUnderTest>(sim_->url(), issuer_); }
  void AsMaria() {
    const std::string secret = sim_->AddToken({.user_id = maria_, .expires_at = "2099-01-01"}).secret;
    adapter_ = std::make_unique<AdapterUnderTest>(sim_->url(), secret);
  }
  GitLab& gitlab() { return adapter_->gitlab(); }

  Ended<Minted> Mint(ResolvedTarget target, const std::string& name) {
    return adapter_->Run(gitlab().Mint({}, adapter_->Intent(), SpecFor(std::move(target), name)));
  }
  UpstreamRef Ref(ResolvedTarget target, const UpstreamToken& token) {
    return {std::move(target), token.id, token.user_id};
  }
  Ended<GitLab::Deleted> Revoke(UpstreamRef ref) { return adapter_->Run(gitlab().Revoke({}, std::move(ref))); }
  absl::StatusOr<TargetFacts> Resolve(TargetKind kind, const std::string& ref) {
    return adapter_->Run(gitlab().Resolve({}, Target{"main", kind, ref}));
  }
  bool Lives(std::int64_t token_id) {
    const auto live = sim_->LiveTokens();
    return std::any_of(live.begin(), live.end(), [&](const auto& token) { return token.id == token_id; });
  }
  bool ConfirmNotFound(UpstreamRef ref) {
    const absl::StatusOr<bool> proves = adapter_->Run(gitlab().ConfirmNotFound({}, std::move(ref)));
    EXPECT_TRUE(proves.ok()) << proves.status();
    return proves.ok() && *proves;
  }

  // The life of one token, whoever asks.
  void LivesAndDies(ResolvedTarget target) {
    const MintSpec spec = SpecFor(target, "tb-life");
    const Ended<Minted> end = Mint(target, "tb-life");
    ASSERT_EQ(EndOf(end), "DONE");
    const UpstreamToken& made = std::get<Minted>(end).token;
    EXPECT_EQ(made.name, "tb-life");
    EXPECT_EQ(made.scopes, spec.scopes);
    EXPECT_EQ(made.expires_at, spec.expires_at);
    EXPECT_EQ(made.access_level, spec.access_level);
    EXPECT_TRUE(made.active);
    const std::vector<gitlab_sim::TokenView> there = sim_->TokensNamed("tb-life");
    ASSERT_EQ(there.size(), 1u);
    EXPECT_EQ(std::get<Minted>(end).secret.Reveal(), there[0].secret);
    EXPECT_EQ(there[0].description, "for a test");

    const auto read = adapter_->Run(gitlab().GetToken({}, Ref(target, made)));
    ASSERT_TRUE(read.ok()) << read.status();
    ASSERT_TRUE(read->has_value());
    EXPECT_EQ((*read)->id, made.id);
    EXPECT_FALSE((*read)->revoked);

    EXPECT_EQ(EndOf(Revoke(Ref(target, made))), "DONE");
    EXPECT_FALSE(Lives(made.id));
    const auto dead = adapter_->Run(gitlab().GetToken({}, Ref(target, made)));
    ASSERT_TRUE(dead.ok()) << dead.status();
    EXPECT_TRUE(!dead->has_value() || (*dead)->revoked);
  }

  std::unique_ptr<GitLabSim> sim_;
  std::int64_t root_ = 0, maria_ = 0, demo_ = 0, project_ = 0;
  std::int64_t issuer_id_ = 0;
  std::string issuer_;
  std::unique_ptr<AdapterUnderTest> adapter_;
};

INSTANTIATE_TEST_SUITE_P(Versions, HttpGitLabTest, testing::Values("17.11.7", "18.11.5"),
                         [](const auto& info) { return "v" + std::string(info.param).substr(0, 2); });

TEST_P(HttpGitLabTest, AUsersTokenLivesAndDies) {
  AsAdmin();
  LivesAndDies(UserTarget(demo_));
  EXPECT_EQ(sim_->CountRequests("POST", "/users/" + std::to_string(demo_) + "/personal_access_tokens$"), 1);
}

TEST_P(HttpGitLabTest, AProjectsTokenLivesAndDies) {
  AsAdmin();
  LivesAndDies(ProjectTarget(project_));
}

TEST_P(HttpGitLabTest, AMaintainerMakesTokensOfTheProjectAlone) {
  AsMaria();
  LivesAndDies(ProjectTarget(project_));
  EXPECT_EQ(EndOf(Mint(UserTarget(demo_), "tb-no")), "REFUSED ISSUER_NOT_ALLOWED");
  EXPECT_TRUE(sim_->TokensNamed("tb-no").empty());
}

TEST_P(HttpGitLabTest, TheRequestIsWhatGitLabWants) {
  AsAdmin();
  ASSERT_EQ(EndOf(Mint(ProjectTarget(project_), "tb-request")), "DONE");
  const auto requests = sim_->Requests();
  const auto post = std::find_if(requests.begin(), requests.end(), [](const auto& r) { return r.method == "POST"; });
  ASSERT_NE(post, requests.end());
  EXPECT_EQ(post->target, "/api/v4/projects/" + std::to_string(project_) + "/access_tokens");
  const auto header = [&](const std::string& name) {
    for (const auto& [key, value] : post->headers) {
      if (strcasecmp(key.c_str(), name.c_str()) == 0) return value;
    }
    return std::string();
  };
  EXPECT_EQ(header("Content-Type"), "application/json");
  EXPECT_EQ(header("PRIVATE-TOKEN"), issuer_);
  EXPECT_EQ(header("Expect"), "");
  EXPECT_EQ(header("Transfer-Encoding"), "");
  EXPECT_NE(post->body.find("\"access_level\":30"), std::string::npos) << post->body;
  EXPECT_EQ(post->body.find("null"), std::string::npos) << post->body;
}

TEST_P(HttpGitLabTest, WhatGitLabRefusesIsRefused) {
  AsAdmin();
  EXPECT_EQ(EndOf(Mint(UserTarget(99'999), "tb-x")), "REFUSED UPSTREAM_NOT_FOUND");
  EXPECT_EQ(EndOf(Mint(ProjectTarget(99'999), "tb-x")), "REFUSED UPSTREAM_NOT_FOUND");
  MintSpec far = SpecFor(UserTarget(demo_), "tb-x");
  far.expires_at += std::chrono::days(3650);
  const Ended<Minted> end = adapter_->Run(gitlab().Mint({}, adapter_->Intent(), far));
  ASSERT_EQ(EndOf(end), "REFUSED UPSTREAM_INVALID");
  const std::vector<FieldViolation> fields = FieldsOf(std::get<Refused>(end).why);
  ASSERT_EQ(fields.size(), 1u);
  EXPECT_EQ(fields[0].field, "token.expiration");
  MintSpec scope = SpecFor(UserTarget(demo_), "tb-x");
  scope.scopes = {"read_everything"};
  EXPECT_EQ(EndOf(adapter_->Run(gitlab().Mint({}, adapter_->Intent(), scope))), "REFUSED UPSTREAM_INVALID");
  EXPECT_EQ(EndOf(Revoke({UserTarget(demo_), 99'999, demo_})), "REFUSED UPSTREAM_NOT_FOUND");
  for (const TargetKind kind : {TargetKind::kGroup, TargetKind::kServiceAccount}) {
    EXPECT_EQ(EndOf(Mint({"main", kind, 1, "acme"}, "tb-x")), "REFUSED TARGET_KIND_NOT_SUPPORTED");
    EXPECT_EQ(ReasonOf(Resolve(kind, "acme").status()), "TARGET_KIND_NOT_SUPPORTED");
  }
  EXPECT_TRUE(sim_->TokensNamed("tb-x").empty());
}

TEST_P(HttpGitLabTest, RevokingTwiceIsDoneTwice) {
  AsAdmin();
  const Ended<Minted> end = Mint(UserTarget(demo_), "tb-twice");
  ASSERT_EQ(EndOf(end), "DONE");
  const UpstreamRef ref = Ref(UserTarget(demo_), std::get<Minted>(end).token);
  EXPECT_EQ(EndOf(Revoke(ref)), "DONE");
  EXPECT_EQ(EndOf(Revoke(ref)), "DONE");
}

TEST_P(HttpGitLabTest, ListsEveryPage) {
  AsAdmin();
  for (int i = 0; i < 205; ++i) {
    sim_->AddToken({.user_id = demo_, .name = "tb-page " + std::to_string(i), .expires_at = "2099-01-01"});
  }
  sim_->AddToken({.user_id = demo_, .name = "tb-page dead", .expires_at = "2099-01-01", .revoked = true});
  sim_->AddToken({.user_id = demo_, .name = "tb-page expired", .expires_at = "2020-01-01"});
  sim_->AddToken({.user_id = maria_, .name = "tb-page of another", .expires_at = "2099-01-01"});
  UpstreamQuery query;
  query.target = UserTarget(demo_);
  query.user_id = demo_;
  query.search = "TB-page";
  const auto not_revoked = adapter_->Run(gitlab().ListTokens({}, query));
  ASSERT_TRUE(not_revoked.ok()) << not_revoked.status();
  EXPECT_EQ(not_revoked->size(), 206u);
  query.active_only = true;
  const auto active = adapter_->Run(gitlab().ListTokens({}, query));
  ASSERT_TRUE(active.ok()) << active.status();
  EXPECT_EQ(active->size(), 205u);
  EXPECT_EQ(sim_->CountRequests("GET", "/personal_access_tokens$", "&page=3"), 2);
  query.search = "nobody";
  EXPECT_TRUE(adapter_->Run(gitlab().ListTokens({}, query))->empty());
  query.search = "";
  query.created_after = adapter_->loop().Now() + hours(1);
  EXPECT_TRUE(adapter_->Run(gitlab().ListTokens({}, query))->empty());
}

TEST_P(HttpGitLabTest, FindsAProjectsTokensAsAdministratorAndAsMaintainer) {
  AsAdmin();
  const Ended<Minted> one = Mint(ProjectTarget(project_), "tb-list one");
  const Ended<Minted> two = Mint(ProjectTarget(project_), "tb-list two");
  ASSERT_EQ(EndOf(one) + EndOf(two), "DONEDONE");
  for (const bool admin : {true, false}) {
    if (!admin) AsMaria();
    UpstreamQuery query;
    query.target = ProjectTarget(project_);
    query.search = "tb-list";
    query.created_after = adapter_->loop().Now() - minutes(20);
    const auto all = adapter_->Run(gitlab().ListTokens({}, query));
    ASSERT_TRUE(all.ok()) << all.status();
    EXPECT_EQ(all->size(), 2u);
    query.user_id = std::get<Minted>(two).token.user_id;
    const auto bots = adapter_->Run(gitlab().ListTokens({}, query));
    ASSERT_TRUE(bots.ok()) << bots.status();
    ASSERT_EQ(bots->size(), 1u);
    EXPECT_EQ(bots->front().name, "tb-list two");
  }
}

TEST_P(HttpGitLabTest, ResolvesUsers) {
  AsAdmin();
  const auto by_id = Resolve(TargetKind::kUser, std::to_string(demo_));
  ASSERT_TRUE(by_id.ok()) << by_id.status();
  EXPECT_EQ(by_id->target, (ResolvedTarget{"main", TargetKind::kUser, demo_, "demo-user"}));
  EXPECT_TRUE(by_id->active);
  EXPECT_FALSE(by_id->bot || by_id->is_admin || by_id->is_issuer);
  const auto by_name = Resolve(TargetKind::kUser, "Demo-USER");
  ASSERT_TRUE(by_name.ok()) << by_name.status();
  EXPECT_EQ(by_name->target, by_id->target);
  const auto issuer = Resolve(TargetKind::kUser, "root");
  ASSERT_TRUE(issuer.ok()) << issuer.status();
  EXPECT_TRUE(issuer->is_admin && issuer->is_issuer);
  sim_->BlockUser(demo_, true);
  EXPECT_FALSE(Resolve(TargetKind::kUser, "demo-user")->active);
  EXPECT_EQ(ReasonOf(Resolve(TargetKind::kUser, "nobody").status()), "UPSTREAM_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Resolve(TargetKind::kUser, "99999").status()), "UPSTREAM_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Resolve(TargetKind::kUser, "a b&c=d").status()), "UPSTREAM_NOT_FOUND");
}

TEST_P(HttpGitLabTest, ResolvesProjects) {
  AsAdmin();
  const auto by_id = Resolve(TargetKind::kProject, std::to_string(project_));
  ASSERT_TRUE(by_id.ok()) << by_id.status();
  EXPECT_EQ(by_id->target, (ResolvedTarget{"main", TargetKind::kProject, project_, "acme/payments"}));
  const auto by_path = Resolve(TargetKind::kProject, "ACME/Payments");
  ASSERT_TRUE(by_path.ok()) << by_path.status();
  EXPECT_EQ(by_path->target, by_id->target);
  EXPECT_EQ(ReasonOf(Resolve(TargetKind::kProject, "acme/none").status()), "UPSTREAM_NOT_FOUND");
  sim_->MoveProject(project_, "acme/billing");
  EXPECT_EQ(ReasonOf(Resolve(TargetKind::kProject, "acme/payments").status()), "TARGET_MOVED");
  const auto moved = Resolve(TargetKind::kProject, std::to_string(project_));
  ASSERT_TRUE(moved.ok()) << moved.status();
  EXPECT_EQ(moved->target.path, "acme/billing");
  ResolvedTarget old = ProjectTarget(0);
  EXPECT_EQ(EndOf(Mint(old, "tb-moved")), "REFUSED TARGET_MOVED");
}

TEST_P(HttpGitLabTest, KnowsWhoTheIssuerIs) {
  AsAdmin();
  const auto facts = adapter_->Run(gitlab().CheckIssuer({}));
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->user_id, root_);
  EXPECT_EQ(facts->username, "root");
  EXPECT_TRUE(facts->is_admin);
  EXPECT_EQ(facts->token_id, issuer_id_);
  EXPECT_EQ(facts->scopes, std::vector<std::string>{"api"});
  EXPECT_EQ(facts->expires_at, ParseDate("2099-01-01"));
  EXPECT_EQ(facts->gitlab_version.substr(0, 7), GetParam());
  EXPECT_EQ(facts->max_lifetime_days, 365);
  ASSERT_TRUE(gitlab().Time().has_value());
  EXPECT_LT(std::abs((gitlab().Time()->date - adapter_->loop().Now()).count()), Duration(seconds(3)).count());

  AsMaria();
  EXPECT_FALSE(gitlab().Time().has_value());
  const auto plain = adapter_->Run(gitlab().CheckIssuer({}));
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->username, "maria");
  EXPECT_FALSE(plain->is_admin);
  EXPECT_FALSE(plain->max_lifetime_days.has_value());
}

TEST_P(HttpGitLabTest, AProjectsTokenIsNoIssuer) {
  AsAdmin();
  MintSpec spec = SpecFor(ProjectTarget(project_), "tb-bot");
  spec.scopes = {"api"};
  const Ended<Minted> bot = adapter_->Run(gitlab().Mint({}, adapter_->Intent(), spec));
  ASSERT_EQ(EndOf(bot), "DONE");
  adapter_ = std::make_unique<AdapterUnderTest>(sim_->url(), std::string(std::get<Minted>(bot).secret.Reveal()));
  const auto facts = adapter_->Run(gitlab().CheckIssuer({}));
  EXPECT_EQ(ReasonOf(facts.status()), "ISSUER_NOT_ALLOWED");
  EXPECT_NE(std::string(facts.status().message()).find("_bot"), std::string::npos) << facts.status();
}

TEST_P(HttpGitLabTest, A404IsConfirmedOnlyByACredentialThatWouldSeeTheToken) {
  AsAdmin();
  const Ended<Minted> made = Mint(ProjectTarget(project_), "tb-absent");
  ASSERT_EQ(EndOf(made), "DONE");
  const UpstreamRef ref = Ref(ProjectTarget(project_), std::get<Minted>(made).token);
  EXPECT_FALSE(ConfirmNotFound(ref));  // It is there.
  EXPECT_TRUE(ConfirmNotFound({ProjectTarget(project_), 77, 99'999}));
  EXPECT_TRUE(ConfirmNotFound({UserTarget(demo_), 77, demo_}));
  AsMaria();
  EXPECT_FALSE(ConfirmNotFound(ref));
  EXPECT_FALSE(ConfirmNotFound({ProjectTarget(project_), 77, ref.user_id}));  // The bot lives.
  EXPECT_FALSE(ConfirmNotFound({UserTarget(demo_), 77, demo_}));
  EXPECT_FALSE(ConfirmNotFound({ProjectTarget(project_), 77, 0}));
  EXPECT_TRUE(ConfirmNotFound({ProjectTarget(project_), 77, 99'999}));  // There is no such bot.
  EXPECT_FALSE(ConfirmNotFound({ProjectTarget(99'999), 77, 99'999}));
}

// The credential becomes an administrator's between the 404 of the project's route and the question for its rights.
TEST_P(HttpGitLabTest, ATokenWhoseBotLeftItsProjectIsNotTakenForGoneByANewAdministrator) {
  AsMaria();
  const Ended<Minted> made = Mint(ProjectTarget(project_), "tb-left");
  ASSERT_EQ(EndOf(made), "DONE");
  const UpstreamRef ref = Ref(ProjectTarget(project_), std::get<Minted>(made).token);
  ASSERT_FALSE(adapter_->Run(gitlab().CheckIssuer({}))->is_admin);
  sim_->RemoveProjectMember(project_, ref.user_id);
  EXPECT_EQ(EndOf(Revoke(ref)), "REFUSED UPSTREAM_NOT_FOUND");
  const auto hidden = adapter_->Run(gitlab().GetToken({}, ref));
  ASSERT_TRUE(hidden.ok()) << hidden.status();
  EXPECT_FALSE(hidden->has_value());
  sim_->SetAdmin(maria_, true);
  EXPECT_FALSE(ConfirmNotFound(ref));
  ASSERT_TRUE(Lives(ref.token_id));
  // What was asked is remembered: from now on the token is found, and ends.
  EXPECT_TRUE(adapter_->Run(gitlab().GetToken({}, ref))->has_value());
  EXPECT_EQ(EndOf(Revoke(ref)), "DONE");
  EXPECT_FALSE(Lives(ref.token_id));
}

TEST_P(HttpGitLabTest, ALostAdminFlagProvesNothing) {
  AsAdmin();
  ASSERT_TRUE(adapter_->Run(gitlab().CheckIssuer({}))->is_admin);
  const Ended<Minted> made = Mint(UserTarget(demo_), "tb-flag");
  ASSERT_EQ(EndOf(made), "DONE");
  const UpstreamRef ref = Ref(UserTarget(demo_), std::get<Minted>(made).token);
  gitlab_sim::Settings settings = sim_->settings();
  settings.admin_flag_lost = true;
  sim_->set_settings(settings);
  EXPECT_FALSE(ConfirmNotFound(ref));
  EXPECT_EQ(EndOf(Revoke(ref)), "REFUSED ISSUER_NOT_ALLOWED");
  EXPECT_EQ(EndOf(Mint(UserTarget(demo_), "tb-x")), "REFUSED ISSUER_NOT_ALLOWED");
  const auto read = adapter_->Run(gitlab().GetToken({}, ref));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_FALSE(read->has_value());  // GitLab says "not yours, or not there", which confirms nothing.
  EXPECT_TRUE(Lives(ref.token_id));
  const auto facts = adapter_->Run(gitlab().CheckIssuer({}));
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_FALSE(facts->is_admin);
}

TEST_P(HttpGitLabTest, PlainHttpIsForLoopbackAlone) {
  AsAdmin();
  Metrics metrics;
  HttpGitLabOptions options;
  options.issuer_file = testing::TempDir() + "/no-such-issuer";
  options.url = "https://gitlab.example.com";
  const absl::Status missing =
      MakeHttpGitLab(options, adapter_->loop(), adapter_->loop(), adapter_->slots(), metrics, NullLog()).status();
  EXPECT_NE(std::string(missing.message()).find("issuer file"), std::string::npos) << missing;
  options.issuer_file = testing::TempDir() + "/issuer-of-plain-http";
  { std::ofstream(options.issuer_file) << "glpat-one"; }
  for (const char* url :
       {"http://gitlab.example.com", "http://localhost.example.com", "http://127.0.0.1.example.com"}) {
    options.url = url;
    const auto made =
        MakeHttpGitLab(options, adapter_->loop(), adapter_->loop(), adapter_->slots(), metrics, NullLog());
    EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument) << url;
  }
}

}  // namespace
}  // namespace tokenbroker
