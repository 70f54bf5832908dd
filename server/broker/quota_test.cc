// What a grant's limits do to a create: what is counted lies in the ledger's own contract.

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "server/broker/broker_fixture.h"
#include "server/telemetry/metrics_page.h"

namespace tokenbroker {
namespace {

constexpr char kPolicy[] = R"(
  callers { name: "ci" identities { dns: "ci" } }
  callers { name: "other" identities { dns: "other" } }
  roles { key: "few" value {
    grants { verbs: "create" targets { user: 42 } scopes: "read_api" max_ttl: "8h" max_active: 2 } } }
  roles { key: "slow" value {
    grants { verbs: "create" targets { project: "acme/*" } scopes: "read_api" max_access_level: 30 max_ttl: "8h"
             creates_per_minute: 3 } } }
  bindings { callers: ["ci", "other"] roles: ["few", "slow"] })";

class QuotaTest : public BrokerTest {
 protected:
  QuotaTest() {
    config::v1::Policy source;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kPolicy, &source));
    const auto policy = Policy::Compile(source, "v1", {});
    EXPECT_TRUE(policy.ok()) << policy.status();
    policies_->Set(*policy);
  }
  static CreateRequest Asked(CreateRequest request) {
    request.scopes = {"read_api"};
    return request;
  }
  std::string ReasonOfCreate(const CreateRequest& request) { return ReasonOf(Create(request).status()); }
};

TEST_F(QuotaTest, TheLastPlaceIsTheLast) {
  const CreateRequest request = Asked(UserToken());
  const absl::StatusOr<Created> first = Create(request);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(Create(request).ok());
  const absl::Status full = Create(request).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(full), "QUOTA_EXCEEDED");
  ASSERT_TRUE(QuotaOf(full).has_value());
  EXPECT_EQ(QuotaOf(full)->description, "2 of 2 places are taken");
  EXPECT_EQ(gitlab_.posts(), 2);
  // Who only asks is told the same; another caller has places of its own, and so has another role.
  CreateRequest dry = request;
  dry.validate_only = true;
  EXPECT_EQ(ReasonOfCreate(dry), "QUOTA_EXCEEDED");
  EXPECT_TRUE(loop_.Finish(broker_->Create({}, CallerNamed("other"), request)).ok());
  EXPECT_EQ(ReasonOfCreate(Asked(ProjectToken())), "");

  ASSERT_TRUE(Revoke(first->token.id).ok());
  Settle();
  EXPECT_EQ(ReasonOfCreate(dry), "");
  EXPECT_EQ(ReasonOfCreate(request), "");
}

TEST_F(QuotaTest, ARefusalIsCountedAndTiedToTheAudit) {
  const CreateRequest request = Asked(UserToken());
  ASSERT_TRUE(Create(request).ok());
  ASSERT_TRUE(Create(request).ok());
  const absl::Status full = Create(request).status();
  std::string id;
  for (const auto& [key, value] : MetaOf(full)) {
    if (key == "decision_id") id = value;
  }
  ASSERT_FALSE(id.empty()) << full;
  ASSERT_TRUE(loop_.Finish(ledger_->ClaimDue(1)).ok());  // A write that is answered comes behind those that are not.
  const absl::StatusOr<std::vector<AuditRecord>> records = loop_.Finish(ledger_->ReadAudit({}));
  ASSERT_TRUE(records.ok()) << records.status();
  const AuditEvent& event = records->back().event;
  EXPECT_EQ(event.kind, "refusal");
  EXPECT_NE(event.body.find("\"reason\":\"QUOTA_EXCEEDED\""), std::string::npos) << event.body;
  EXPECT_NE(event.body.find("\"decision_id\":\"" + id + "\""), std::string::npos) << event.body;
  const std::string page = MetricsPage(metrics_);
  EXPECT_NE(page.find("tokenbroker_decisions_total{outcome=\"denied\",reason=\"QUOTA_EXCEEDED\"} 1"), std::string::npos)
      << page;
  EXPECT_NE(page.find("tokenbroker_decisions_total{outcome=\"allowed\",reason=\"GRANTED\"} 2"), std::string::npos)
      << page;
}

TEST_F(QuotaTest, CreatesOfAMinuteAreBounded) {
  const CreateRequest request = Asked(ProjectToken());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Create(request).ok()) << i;
  const absl::Status fast = Create(request).status();
  EXPECT_EQ(ReasonOf(fast), "RATE_EXCEEDED");
  ASSERT_TRUE(RetryAfterOf(fast).has_value());
  EXPECT_EQ(gitlab_.posts(), 3);
  Pass(*RetryAfterOf(fast), *RetryAfterOf(fast));
  EXPECT_EQ(ReasonOfCreate(request), "");
}

// A lost answer must not keep its caller out: the repeat takes the place of what it replaces.
TEST_F(QuotaTest, ARepeatTakesThePlaceOfWhatItReplaces) {
  ASSERT_TRUE(Create(Asked(UserToken())).ok());
  CreateRequest request = Asked(UserToken());
  request.request_id = "6f1c1a0e-7f0a-4a3c-9a53-0d6a4c7c9f11";
  const absl::StatusOr<Created> lost = Create(request);
  ASSERT_TRUE(lost.ok()) << lost.status();
  const absl::StatusOr<Created> repeated = Create(request);
  ASSERT_TRUE(repeated.ok()) << repeated.status();
  EXPECT_NE(repeated->token.id, lost->token.id);
}

}  // namespace
}  // namespace tokenbroker
