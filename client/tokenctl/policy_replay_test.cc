// Two policies on one audit: who loses, who gains, and what nobody can say.

#include "client/tokenctl/policy_replay.h"

#include <gtest/gtest.h>

#include "server/config/policy_text.h"
#include "server/policy/audited_request.h"

namespace tokenbroker::tokenctl {
namespace {

const WallTime kNow(hours(24 * 365 * 50));

std::shared_ptr<const Policy> PolicyOf(const std::string& yaml) {
  PolicyText text;
  text.documents.push_back({"policy.yaml", yaml});
  text.hash = std::string(64, '0');
  const auto policy = CompilePolicyText(text, {});
  EXPECT_TRUE(policy.ok()) << policy.status();
  return policy.ok() ? *policy : Policy::DenyAll();
}

constexpr char kOld[] = R"(
callers:
  - {name: ci, identities: [{spiffe: 'spiffe://test/ci'}]}
  - {name: 'team-{team}', identities: [{jwt: {issuer: 'https://idp', sub: 'team:{team}'}}]}
roles:
  reader:
    - {verbs: [create], targets: [{project: acme/web}, {user: 42}], scopes: [read_api], max_access_level: 30,
       max_ttl: 8h}
    - {verbs: [audit]}
  team:
    - {verbs: [create], targets: [{project: 'acme/{team}'}], scopes: [read_api], max_access_level: 30, max_ttl: 8h}
bindings:
  - {callers: [ci], roles: [reader]}
  - {callers: ['team-{team}'], roles: [team]}
)";

AccessRequest Ask(const std::string& project, std::vector<std::string> scopes = {"read_api"}) {
  AccessRequest request;
  request.target = {"main", TargetKind::kProject, project};
  request.scopes = std::move(scopes);
  request.access_level = 20;
  request.ttl = hours(1);
  request.display_name = "a \"name\"";
  request.labels = {{"team", "web"}};
  return request;
}

TargetFacts Project(const std::string& path) {
  TargetFacts facts;
  facts.target = {"main", TargetKind::kProject, 7, path};
  return facts;
}

v1::AuditRecord Record(const Caller& caller, const std::string& kind, const std::string& body) {
  static int seq = 0;
  v1::AuditRecord record;
  record.set_writer("w");
  record.set_seq(++seq);
  record.mutable_time()->set_seconds(1'000'000 + seq);
  record.set_kind(kind);
  record.set_caller("callers/" + caller.name);
  record.set_body(body);
  return record;
}

// As the broker writes them.
v1::AuditRecord Made(const Caller& caller, const AccessRequest& request, const TargetFacts& facts) {
  return Record(caller, "token.pending",
                R"({"to":"PENDING","role":"r","request":)" + AuditedRequestJson(caller, request, &facts) + "}");
}
v1::AuditRecord Refused(const Caller& caller, const AccessRequest& request, const TargetFacts* facts) {
  return Record(caller, "refusal",
                R"({"method":"CreateToken","reason":"NOT_GRANTED","request":)" +
                    AuditedRequestJson(caller, request, facts) + "}");
}

const Caller kCi{"ci", "spiffe://test/ci"};
const Caller kBlue{"team-blue", "jwt:https://idp team:blue", "team-{team}", {{"team", "blue"}}};

std::string Replace(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

class PolicyReplayTest : public testing::Test {
 protected:
  // "ci lose create project:acme/web read_api x2", in order.
  std::vector<std::string> Changes(const std::string& new_policy, const std::vector<v1::AuditRecord>& records) {
    const auto before = PolicyOf(kOld);
    const auto after = PolicyOf(new_policy);
    PolicyReplay replay(*before, *after, kNow);
    for (const v1::AuditRecord& record : records) replay.Add(record);
    counts_ = replay.counts();
    changes_ = replay.changes();
    std::vector<std::string> texts;
    for (const PolicyChange& change : changes_) {
      texts.push_back(change.caller + (change.maybe ? " may" : "") + (change.loses ? " lose " : " gain ") +
                      change.what + " x" + std::to_string(change.times));
    }
    return texts;
  }

  ReplayCounts counts_;
  std::vector<PolicyChange> changes_;
};

using Texts = std::vector<std::string>;

TEST_F(PolicyReplayTest, ThePolicyItselfChangesNothing) {
  const TargetFacts web = Project("acme/web");
  EXPECT_EQ(Changes(kOld, {Made(kCi, Ask("acme/web"), web), Made(kBlue, Ask("acme/blue"), Project("acme/blue")),
                           Refused(kCi, Ask("acme/web", {"api"}), &web), Refused(kCi, Ask("other/x"), nullptr)}),
            Texts());
  EXPECT_EQ(counts_.requests, 4);
}

TEST_F(PolicyReplayTest, WhatWasMadeAndWouldNotBeIsLost) {
  const v1::AuditRecord made = Made(kCi, Ask("acme/web"), Project("acme/web"));
  EXPECT_EQ(Changes(Replace(kOld, "{project: acme/web}, ", ""), {made, made}),
            Texts({"ci lose create project:acme/web read_api x2"}));
  EXPECT_NE(changes_[0].why.find("no grant of the caller covers project:acme/web"), std::string::npos)
      << changes_[0].why;
  EXPECT_EQ(Changes(std::string(kOld) + "denies: [{targets: [{project: acme/web}]}]\n", {made}),
            Texts({"ci lose create project:acme/web read_api x1"}));
  EXPECT_NE(changes_[0].why.find("denies[0]"), std::string::npos) << changes_[0].why;
}

TEST_F(PolicyReplayTest, WhatWasRefusedAndWouldNotBeIsGained) {
  const TargetFacts web = Project("acme/web");
  EXPECT_EQ(Changes(Replace(kOld, "scopes: [read_api]", "scopes: [read_api, write_repository]"),
                    {Refused(kCi, Ask("acme/web", {"write_repository"}), &web)}),
            Texts({"ci gain create project:acme/web write_repository x1"}));
}

TEST_F(PolicyReplayTest, WithoutGitLabsFactsItIsOpen) {
  EXPECT_EQ(
      Changes(Replace(kOld, "{project: acme/web}", "{project: 'acme/*'}"), {Refused(kCi, Ask("acme/api"), nullptr)}),
      Texts({"ci may gain create project:acme/api read_api x1"}));
}

TEST_F(PolicyReplayTest, ACertificateIsRecognisedAnew) {
  const v1::AuditRecord made = Made(kCi, Ask("acme/web"), Project("acme/web"));
  // Another name for the same service: it loses nothing.
  std::string renamed = Replace(kOld, "name: ci", "name: builder");
  renamed = Replace(renamed, "callers: [ci]", "callers: [builder]");
  EXPECT_EQ(Changes(renamed, {made}), Texts());
  // Another service under the name: this one is nobody any more.
  EXPECT_EQ(Changes(Replace(kOld, "spiffe://test/ci", "spiffe://test/cd"), {made}),
            Texts({"ci lose create project:acme/web read_api x1"}));
  EXPECT_EQ(changes_[0].why, "no caller is recognised by spiffe://test/ci");
}

TEST_F(PolicyReplayTest, ABearerKeepsItsCaptures) {
  const v1::AuditRecord made = Made(kBlue, Ask("acme/blue"), Project("acme/blue"));
  EXPECT_EQ(Changes(Replace(kOld, "acme/{team}", "acme/x-{team}"), {made}),
            Texts({"team-blue lose create project:acme/blue read_api x1"}));
  std::string gone = Replace(kOld, "'team-{team}', identities", "'squad-{team}', identities");
  gone = Replace(gone, "callers: ['team-{team}']", "callers: ['squad-{team}']");
  EXPECT_EQ(Changes(gone, {made}), Texts({"team-blue lose create project:acme/blue read_api x1"}));
}

TEST_F(PolicyReplayTest, VerbsOfTheAdministratorCount) {
  AccessRequest audit;
  audit.verb = Verb::kReconcile;
  EXPECT_EQ(Changes(Replace(kOld, "verbs: [audit]", "verbs: [audit, reconcile]"), {Refused(kCi, audit, nullptr)}),
            Texts({"ci gain reconcile x1"}));
}

TEST_F(PolicyReplayTest, UsersKeepWhatGitLabSaidOfThem) {
  AccessRequest request = Ask("x");
  request.target = {"main", TargetKind::kUser, "42"};
  request.access_level = 0;
  TargetFacts facts;
  facts.target = {"main", TargetKind::kUser, 42, "demo"};
  facts.active = false;
  const std::string wider = Replace(kOld, "max_ttl: 8h}\n    - {verbs: [audit]}", "max_ttl: 9h}");
  request.ttl = hours(9);
  EXPECT_EQ(Changes(wider, {Refused(kCi, request, &facts)}), Texts());  // A blocked one stays forbidden.
  facts.active = true;
  EXPECT_EQ(Changes(wider, {Refused(kCi, request, &facts)}), Texts({"ci gain create user:42 read_api x1"}));
}

TEST_F(PolicyReplayTest, WhatCannotBeReplayedIsCounted) {
  EXPECT_EQ(Changes(kOld, {Record(kCi, "refusals", R"({"CreateToken NOT_GRANTED":12,"GetToken X":3})"),
                           Record(kCi, "refusal", R"({"method":"CreateToken","detail":"project:x"})"),
                           Record(kCi, "token.pending", "no JSON"), Record(kCi, "token.active", "{}")}),
            Texts());
  EXPECT_EQ(counts_.only_counted, 15);
  EXPECT_EQ(counts_.without_request, 2);
  EXPECT_EQ(counts_.requests, 0);
}

}  // namespace
}  // namespace tokenbroker::tokenctl
