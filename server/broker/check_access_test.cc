// Explanations, and what ties a denial's answer to the log and the audit.

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <random>

#include "server/broker/broker_fixture.h"
#include "server/telemetry/metrics_page.h"

namespace tokenbroker {
namespace {

constexpr char kPolicy[] = R"(
  callers { name: "ci" identities { dns: "ci" } }
  roles { key: "maker" value {
    grants { verbs: ["create", "read"] targets { user: 42 } targets { user: 1 } targets { project: "acme/*" }
             scopes: "read_api" max_access_level: 30 max_ttl: "8h" min_ttl: "10m" }
    grants { verbs: "create" targets { project: "acme/payments" } scopes: "write_repository" max_access_level: 40
             max_ttl: "1h" display_name: "ci-*" }
    grants { verbs: "create" targets { group: "acme" } scopes: "read_api" max_access_level: 30 max_ttl: "8h" } } }
  roles { key: "trial" value {
    grants { verbs: "create" targets { user: 42 } scopes: "write_virtual_registry" max_ttl: "8h" } } }
  bindings { callers: "ci" roles: "maker" }
  bindings { callers: "ci" roles: "trial" mode: "audit" }
  denies { targets { project: "acme/secret" } }
  denies { targets { user: 42 } scopes: "read_registry" mode: "audit" })";

// Keeps what is logged.
class KeptLog final : public Log {
 public:
  void Write(LogLevel, std::string_view event, Fields fields) override {
    text += event;
    for (const LogField& field : fields) {
      const auto* const value = std::get_if<std::string_view>(&field.value);
      if (value != nullptr) text.append(" ").append(field.key).append("=").append(*value);
    }
    text += '\n';
  }

  std::string text;
};

class CheckAccessTest : public BrokerTest {
 protected:
  CheckAccessTest() {
    config::v1::Policy source;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kPolicy, &source));
    const auto policy =
        Policy::Compile(source, "v7", {}, [](const std::string& place) { return "/etc/broker/policy.yaml:" + place; });
    EXPECT_TRUE(policy.ok()) << policy.status();
    policies_->Set(*policy);
    gitlab_.AddProject(8, "acme/secret");
    gitlab_.AddProject(9, "other/project");
  }

  absl::StatusOr<AccessAnswer> Check(const CreateRequest& request, Verb verb = Verb::kCreate) {
    return loop_.Finish(broker_->CheckAccess({}, CallerNamed("ci"), AccessQuestion{verb, request}));
  }
  // What the audit's refusals say, in order.
  std::vector<std::string> Refusals() {
    Settle();
    std::vector<std::string> bodies;
    const auto records = loop_.Finish(ledger_->ReadAudit({}));
    EXPECT_TRUE(records.ok()) << records.status();
    for (const AuditRecord& record : *records) {
      if (record.event.kind == "refusal") bodies.push_back(record.event.body);
    }
    return bodies;
  }
};

// A caller that is denied without end fills neither the log nor another one's share of it.
TEST_F(CheckAccessTest, LinesAboutDenialsAreBoundedForEachCaller) {
  KeptLog log;
  Broker broker({loop_, loop_, random_, *faulty_, gitlab_, *slots_, *policies_, metrics_, log},
                {"tb1", "main", settle_});
  CreateRequest denied = UserToken();
  denied.scopes = {"write_repository"};
  const auto deny = [&](const std::string& caller, int times) {
    for (int i = 0; i < times; ++i) EXPECT_FALSE(loop_.Finish(broker.Create({}, CallerNamed(caller), denied)).ok());
  };
  const auto lines = [&log] {
    int count = 0;
    for (std::size_t at = 0; (at = log.text.find("refused caller=", at)) != std::string::npos; ++at) ++count;
    return count;
  };
  deny("ci", 100);
  EXPECT_EQ(lines(), 20);
  deny("other", 1);
  EXPECT_EQ(lines(), 21);
  loop_.Advance(minutes(1));
  deny("ci", 1);
  EXPECT_EQ(lines(), 22);
}

TEST_F(CheckAccessTest, AnAllowedRequestNamesItsGrant) {
  const absl::StatusOr<AccessAnswer> answer = Check(UserToken());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->allowed);
  EXPECT_EQ(answer->reason, "GRANTED");
  EXPECT_EQ(answer->rule.role, "maker");
  EXPECT_EQ(answer->rule.place, "roles.maker.grants[0]");
  EXPECT_EQ(answer->rule.position, "policy.yaml:roles.maker.grants[0]");
  EXPECT_EQ(answer->policy_version, "v7");
  EXPECT_EQ(answer->decision_id.size(), 10u);
  EXPECT_FALSE(answer->closest.has_value());
  EXPECT_EQ(gitlab_.posts(), 0);
}

TEST_F(CheckAccessTest, ADenialProposesTheClosest) {
  CreateRequest request = ProjectToken();
  request.scopes = {"read_repository", "write_repository", "k8s_proxy"};
  request.access_level = 50;
  request.purpose = "nightly";
  request.ttl = hours(9);
  absl::StatusOr<AccessAnswer> answer = Check(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_FALSE(answer->allowed);
  EXPECT_EQ(answer->reason, "NOT_GRANTED");
  EXPECT_EQ(answer->rule.place, "");
  ASSERT_TRUE(answer->closest.has_value());
  EXPECT_EQ(answer->closest->scopes, std::vector<std::string>{"read_repository"});
  EXPECT_EQ(answer->closest->access_level, 30);
  EXPECT_EQ(answer->closest->ttl, hours(8));
  EXPECT_EQ(answer->closest->purpose, "nightly");
  answer->closest->validate_only = true;
  EXPECT_TRUE(Create(*answer->closest).ok());
}

TEST_F(CheckAccessTest, AnInstantStaysIfItNeedNotChange) {
  CreateRequest request = UserToken();
  request.scopes = {"read_user", "k8s_proxy"};
  request.ttl.reset();
  request.expire_time = ledger_->Now() + hours(1);
  absl::StatusOr<AccessAnswer> answer = Check(request);
  ASSERT_TRUE(answer.ok() && answer->closest.has_value());
  EXPECT_EQ(answer->closest->expire_time, request.expire_time);
  request.expire_time = ledger_->Now() + hours(9);
  answer = Check(request);
  ASSERT_TRUE(answer.ok() && answer->closest.has_value());
  EXPECT_FALSE(answer->closest->expire_time.has_value());
  EXPECT_EQ(answer->closest->ttl, hours(8));
}

TEST_F(CheckAccessTest, ADecisionIdTiesAnswerAndAudit) {
  CreateRequest request = UserToken();
  request.scopes = {"read_api", "k8s_proxy"};
  const absl::StatusOr<AccessAnswer> answer = Check(request);
  ASSERT_TRUE(answer.ok());
  const absl::Status created = Create(request).status();
  const auto meta = MetaOf(created);
  ASSERT_EQ(meta.size(), 1u) << created;
  EXPECT_EQ(meta[0].first, "decision_id");
  EXPECT_NE(meta[0].second, answer->decision_id);
  const std::vector<std::string> refusals = Refusals();
  ASSERT_EQ(refusals.size(), 2u);
  EXPECT_NE(refusals[0].find("\"decision_id\":\"" + answer->decision_id + "\""), std::string::npos) << refusals[0];
  EXPECT_NE(refusals[0].find("\"method\":\"CheckAccess\""), std::string::npos);
  // Both say what would have been allowed instead, though only the question's answer does.
  ASSERT_TRUE(answer->closest.has_value());
  for (const std::string& refusal : refusals) {
    EXPECT_NE(refusal.find("\"closest\":\"scopes read_api\""), std::string::npos) << refusal;
  }
  EXPECT_NE(refusals[1].find("\"decision_id\":\"" + meta[0].second + "\""), std::string::npos) << refusals[1];
}

TEST_F(CheckAccessTest, AuditModeIsCountedAndKeptAndChangesNothing) {
  CreateRequest request = UserToken();
  request.scopes = {"write_virtual_registry"};  // What the trial role would grant.
  EXPECT_EQ(ReasonOf(Create(request).status()), "NOT_GRANTED");
  const std::vector<std::string> refusals = Refusals();
  ASSERT_EQ(refusals.size(), 1u);
  EXPECT_NE(refusals[0].find("\"would_have\":\"allowed by roles.trial.grants[0] "), std::string::npos) << refusals[0];

  request.scopes = {"read_registry"};  // What the deny on trial would deny.
  const absl::StatusOr<Created> created = Create(request);
  ASSERT_TRUE(created.ok()) << created.status();
  const auto records = loop_.Finish(ledger_->ReadAudit({}));
  ASSERT_TRUE(records.ok());
  const bool kept = std::any_of(records->begin(), records->end(), [](const AuditRecord& record) {
    return record.event.kind == "token.pending" &&
           record.event.body.find("\"would_have\":\"denied by denies[1] ") != std::string::npos;
  });
  EXPECT_TRUE(kept);
  const std::string page = MetricsPage(metrics_);
  EXPECT_NE(page.find("tokenbroker_audit_mode_decisions_total{would_have=\"allowed\"} 1"), std::string::npos);
  EXPECT_NE(page.find("tokenbroker_audit_mode_decisions_total{would_have=\"denied\"} 1"), std::string::npos);
}

TEST_F(CheckAccessTest, TheLogHasTheDecisionTheRuleAndWhatWasMissing) {
  KeptLog log;
  Broker broker({loop_, loop_, random_, *faulty_, gitlab_, *slots_, *policies_, metrics_, log},
                {"tb1", "main", settle_});
  CreateRequest request = UserToken();
  request.scopes = {"write_virtual_registry"};
  const absl::Status refused = loop_.Finish(broker.Create({}, CallerNamed("ci"), request)).status();
  EXPECT_NE(
      log.text.find("refused caller=ci method=CreateToken decision_id=" + MetaOf(refused).at(0).second +
                    " reason=NOT_GRANTED request=user:42 write_virtual_registry why=roles.maker.grants[0] "
                    "(/etc/broker/policy.yaml:roles.maker.grants[0]) does not grant the scope write_virtual_registry "
                    "closest= policy=v7\n"),
      std::string::npos)
      << log.text;
  EXPECT_NE(log.text.find("audit mode caller=ci method=CreateToken would_have=allowed by roles.trial.grants[0] "),
            std::string::npos)
      << log.text;
}

std::string TextOf(const AccessAnswer& answer) {
  return std::to_string(answer.allowed) + answer.reason + answer.message + answer.rule.place +
         std::to_string(answer.closest.has_value());
}

TEST_F(CheckAccessTest, AForeignTargetIsAnsweredLikeAnAbsentOne) {
  std::vector<std::string> answers;
  for (const char* ref : {"9", "8", "77"}) {  // Foreign, denied, absent.
    CreateRequest request = ProjectToken();
    request.target.ref = ref;
    for (const char* scope : {"read_repository", "k8s_proxy"}) {
      request.scopes = {scope};
      const absl::StatusOr<AccessAnswer> answer = Check(request);
      ASSERT_TRUE(answer.ok()) << answer.status();
      answers.push_back(TextOf(*answer));
    }
  }
  EXPECT_EQ(answers[0], answers[2]);
  EXPECT_EQ(answers[0], answers[4]);
  EXPECT_EQ(answers[1], answers[3]);
  EXPECT_EQ(answers[1], answers[5]);
  EXPECT_EQ(Refusals().size(), 6u);
}

TEST_F(CheckAccessTest, GitLabIsAskedOnlyOfWhatAGrantMayReach) {
  CreateRequest request = ProjectToken();
  request.target.ref = "other/project";
  EXPECT_EQ(Check(request)->reason, "NOT_GRANTED");
  request.target.ref = "acme/secret";
  EXPECT_EQ(Check(request)->reason, "NOT_GRANTED");
  EXPECT_EQ(gitlab_.resolves(), 0);
}

TEST_F(CheckAccessTest, OtherVerbs) {
  CreateRequest target;
  target.target = {"", TargetKind::kProject, "acme/payments"};
  EXPECT_TRUE(Check(target, Verb::kRead)->allowed);
  EXPECT_FALSE(Check(target, Verb::kRevoke)->allowed);
  EXPECT_FALSE(Check({}, Verb::kAudit)->allowed);
  EXPECT_EQ(Check(ProjectToken(), Verb::kRotate)->reason, "NOT_GRANTED");
  target.target.ref = "";
  EXPECT_EQ(ReasonOf(Check(target, Verb::kRead).status()), "FIELD_INVALID");
}

TEST_F(CheckAccessTest, WhatIsNotThePolicysFailsAsInCreate) {
  CreateRequest absent = ProjectToken();
  absent.target.ref = "acme/absent";
  EXPECT_EQ(ReasonOf(Check(absent).status()), "TARGET_NOT_FOUND");
  CreateRequest wrong = UserToken();
  wrong.scopes = {"read_apy"};
  EXPECT_EQ(Check(wrong).status(), Create(wrong).status());
}

// What cannot be minted yet is judged, and then refused in plain words.
TEST_F(CheckAccessTest, AKindThatIsNotMintedYetIsJudgedFirst) {
  CreateRequest request = ProjectToken();
  request.target = {"", TargetKind::kGroup, "acme"};
  EXPECT_EQ(ReasonOf(Check(request).status()), "TARGET_KIND_NOT_SUPPORTED");
  EXPECT_EQ(ReasonOf(Create(request).status()), "TARGET_KIND_NOT_SUPPORTED");
  request.target.ref = "other";
  EXPECT_EQ(Check(request)->reason, "NOT_GRANTED");
  EXPECT_EQ(ReasonOf(Create(request).status()), "NOT_GRANTED");
}

// The reason of an answer of CheckAccess, or of a create's end.
std::string ReasonIn(const absl::StatusOr<AccessAnswer>& answer) {
  return answer.ok() ? answer->reason : ReasonOf(answer.status());
}
std::string ReasonIn(const absl::StatusOr<Created>& created) {
  return created.ok() ? "GRANTED" : ReasonOf(created.status());
}

TEST_F(CheckAccessTest, ExplainingEqualsEnforcing) {
  std::mt19937 random(20261125);
  const auto one_of = [&random](const auto& all) { return all[random() % all.size()]; };
  const std::vector<Target> targets = {{"", TargetKind::kUser, "42"},
                                       {"", TargetKind::kUser, "demo"},
                                       {"", TargetKind::kUser, "1"},
                                       {"", TargetKind::kUser, "43"},
                                       {"", TargetKind::kProject, "7"},
                                       {"", TargetKind::kProject, "ACME/payments"},
                                       {"", TargetKind::kProject, "8"},
                                       {"", TargetKind::kProject, "acme/secret"},
                                       {"", TargetKind::kProject, "9"},
                                       {"", TargetKind::kProject, "acme/absent"},
                                       {"", TargetKind::kProject, "other/none"}};
  const std::vector<std::string> scopes = {"read_repository", "read_registry", "write_repository", "k8s_proxy"};
  int granted = 0;
  for (int i = 0; i < 500; ++i) {
    CreateRequest request = UserToken();
    request.target = one_of(targets);
    request.scopes = {one_of(scopes)};
    const std::string more = one_of(scopes);
    if (random() % 3 == 0 && more != request.scopes[0]) request.scopes.push_back(more);
    if (request.target.kind == TargetKind::kProject) request.access_level = one_of(std::vector<int>{10, 30, 30, 50});
    request.ttl = minutes(one_of(std::vector<int>{5, 30, 30, 90, 600}));
    request.display_name = one_of(std::vector<std::string>{"ci-x", "x"});
    const absl::StatusOr<AccessAnswer> answer = Check(request);
    request.validate_only = true;
    const std::string dry = ReasonIn(Create(request));
    request.validate_only = false;
    const std::string real = ReasonIn(Create(request));
    ASSERT_EQ(ReasonIn(answer), dry) << ToText(request.target);
    ASSERT_EQ(dry, real) << ToText(request.target);
    granted += real == "GRANTED" ? 1 : 0;
    if (answer.ok() && answer->closest.has_value()) {
      CreateRequest closest = *answer->closest;
      closest.validate_only = true;
      const std::string then = ReasonIn(Create(closest));
      ASSERT_TRUE(then == "GRANTED" || then == "TARGET_FORBIDDEN" || then == "TARGET_NOT_FOUND") << then;
      if (ToText(closest.target) == "user:42") {
        ASSERT_EQ(then, "GRANTED");
      }
    }
    Pass(seconds(5), seconds(5));  // A minute has its number of looks at GitLab.
  }
  EXPECT_GT(granted, 20);
  EXPECT_EQ(gitlab_.posts(), granted);
}

}  // namespace
}  // namespace tokenbroker
