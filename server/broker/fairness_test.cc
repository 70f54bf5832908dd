// One caller's load and one target's trouble: what they cost others at most.

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "server/broker/broker_fixture.h"
#include "server/telemetry/metrics_page.h"

namespace tokenbroker {
namespace {

constexpr char kPolicy[] = R"pb(
  callers {
    name: "ci"
    identities { spiffe: "spiffe://test/ci" }
  }
  callers {
    name: "other"
    identities { spiffe: "spiffe://test/other" }
  }
  roles {
    key: "maker"
    value {
      grants {
        verbs: "create"
        targets { project: "acme/*" }
        scopes: "read_repository"
        max_access_level: 30
        max_ttl: "30d"
      }
    }
  }
  bindings { callers: "ci" callers: "other" roles: "maker" }
)pb";

constexpr std::int64_t kHanging = 7;  // acme/payments

class FairnessTest : public BrokerTest {
 protected:
  // What a create that was started came to.
  struct Outcome {
    std::optional<absl::StatusOr<Created>> created;
    Duration took{0};
  };

  FairnessTest() {
    config::v1::Policy source;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kPolicy, &source));
    const auto policy = Policy::Compile(source, "v1", {});
    EXPECT_TRUE(policy.ok()) << policy.status();
    policies_->Set(*policy);
    gitlab_.AddProject(8, "acme/web");
  }

  static CreateRequest TokenOf(const std::string& project, Duration ttl) {
    CreateRequest request = ProjectToken();
    request.target.ref = project;
    request.ttl = ttl;
    return request;
  }

  Token Make(const std::string& caller, const CreateRequest& request) {
    const absl::StatusOr<Created> created = loop_.Finish(broker_->Create({}, CallerNamed(caller), request));
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? created->token : Token();
  }

  std::shared_ptr<Outcome> Start(const std::string& caller, const CreateRequest& request) {
    const auto outcome = std::make_shared<Outcome>();
    const BootTime began = loop_.Boot();
    broker_->scope().Spawn<absl::StatusOr<Created>>(broker_->Create({}, CallerNamed(caller), request),
                                                    [this, outcome, began](absl::StatusOr<Created> created) {
                                                      outcome->took = loop_.Boot() - began;
                                                      outcome->created = std::move(created);
                                                    });
    return outcome;
  }

  void HangOneProject() {
    gitlab_.set_hangs(
        [](const ResolvedTarget& target) { return target.kind == TargetKind::kProject && target.id == kHanging; });
  }

  int PermitsInUse() { return MetricValue("tokenbroker_upstream_in_flight "); }
  int MetricValue(const std::string& name) {
    const std::string page = MetricsPage(metrics_);
    const std::size_t at = page.find('\n' + name);
    return at == std::string::npos ? -1 : std::stoi(page.substr(at + 1 + name.size()));
  }
};

TEST_F(FairnessTest, ATargetThatHangsDelaysNothingOfAnotherCaller) {
  StartJobs();
  for (int i = 0; i < 400; ++i) Make("ci", TokenOf("acme/payments", minutes(1)));
  const Token theirs = Make("ci", TokenOf("acme/web", seconds(75)));
  const Token token = Make("other", TokenOf("acme/web", seconds(75)));
  HangOneProject();
  // All 400 are due and have been claimed; their requests hang.
  Pass(seconds(70) - (loop_.Now() - token.create_time));
  EXPECT_GE(PermitsInUse(), 8);
  Pass(token.expire_time - loop_.Now() + seconds(2));
  EXPECT_EQ(Get(token.id, "other")->state, TokenState::kExpired);
  EXPECT_EQ(StateOf(theirs.id), TokenState::kExpired);
  for (int i = 0; i < 60; ++i) {
    const std::shared_ptr<Outcome> outcome = Start("other", TokenOf("acme/web", hours(1)));
    Settle();
    Pass(seconds(5));
    ASSERT_TRUE(outcome->created.has_value());
    ASSERT_TRUE(outcome->created->ok()) << outcome->created->status();
    EXPECT_EQ(outcome->took, Duration(0));
  }
  gitlab_.set_hangs(nullptr);
  Pass(minutes(3));
  for (const UpstreamToken& live : gitlab_.live()) EXPECT_NE(live.resource_id, kHanging);
}

TEST_F(FairnessTest, ManyCreatesOfOneCallerDelayAnotherBySharesAlone) {
  for (int i = 0; i < 8; ++i) gitlab_.AddProject(20 + i, "acme/busy" + std::to_string(i));
  gitlab_.set_mint_takes(seconds(10));
  std::vector<std::shared_ptr<Outcome>> many;
  for (int i = 0; i < 256; ++i) many.push_back(Start("ci", TokenOf("acme/busy" + std::to_string(i % 8), hours(1))));
  Settle();
  EXPECT_EQ(PermitsInUse(), permits_);
  const std::shared_ptr<Outcome> one = Start("other", TokenOf("acme/web", hours(1)));
  Settle();
  Pass(seconds(60));
  ASSERT_TRUE(one->created.has_value());
  ASSERT_TRUE(one->created->ok()) << one->created->status();
  // One POST's time until a permit is free, and that of its own; in turn with 256 it would be 50 s.
  EXPECT_LE(one->took, seconds(21));
  for (const auto& each : many) EXPECT_TRUE(each->created.has_value() && each->created->ok());
}

TEST_F(FairnessTest, OneTargetsCreatesLeaveThreeQuartersOfThePermits) {
  gitlab_.set_mint_takes(seconds(10));
  for (int i = 0; i < 64; ++i) Start("ci", TokenOf("acme/payments", hours(1)));
  Settle();
  EXPECT_EQ(PermitsInUse(), permits_ / 4);
  const std::shared_ptr<Outcome> other = Start("ci", TokenOf("acme/web", hours(1)));
  Settle();
  Pass(seconds(60));
  ASSERT_TRUE(other->created.has_value());
  EXPECT_EQ(other->took, seconds(10));
}

TEST_F(FairnessTest, ACreateGivesItsPermitBackWhenGitLabHasResponded) {
  std::optional<int> in_use;
  faulty_->set_before_activate([&] { in_use = PermitsInUse(); });
  Make("ci", TokenOf("acme/web", hours(1)));
  EXPECT_EQ(in_use, 0);
}

TEST_F(FairnessTest, EveryDeleteHasAPermit) {
  std::vector<int> in_use;
  gitlab_.set_before_delete([&] { in_use.push_back(PermitsInUse()); });
  // A create that cannot be recorded deletes its token without the ledger.
  faulty_->set_before_activate([this] { faulty_->set_fault(FaultyLedger::Fault::kBefore); });
  EXPECT_FALSE(Start("ci", TokenOf("acme/web", hours(1)))->created.has_value());
  Settle();
  EXPECT_EQ(in_use, std::vector<int>{1});
  faulty_->set_fault(FaultyLedger::Fault::kNone);
  faulty_->set_before_activate(nullptr);
  const Token token = Make("ci", TokenOf("acme/web", hours(1)));
  ASSERT_TRUE(Revoke(token.id).ok());
  EXPECT_EQ(in_use, (std::vector<int>{1, 1}));
  EXPECT_EQ(PermitsInUse(), 0);
}

TEST_F(FairnessTest, ARevocationThatFailedLetsOthersGoFirst) {
  permits_ = 1;
  Restart();
  const Token failing = Make("ci", TokenOf("acme/payments", hours(1)));
  const Token token = Make("other", TokenOf("acme/web", hours(1)));
  gitlab_.set_delete_takes(seconds(1));
  gitlab_.PlanNext(FakeGitLab::End::kLostAfter);
  std::vector<int> reads;
  const int reads_before = gitlab_.reads();
  gitlab_.set_before_delete([&] { reads.push_back(gitlab_.reads() - reads_before); });
  broker_->scope().Spawn<absl::StatusOr<Token>>(broker_->Revoke({}, CallerNamed("ci"), failing.id),
                                                [](absl::StatusOr<Token>) {});
  Settle();
  broker_->scope().Spawn<absl::StatusOr<Token>>(broker_->Revoke({}, CallerNamed("other"), token.id),
                                                [](absl::StatusOr<Token>) {});
  Settle();
  Pass(seconds(10));
  // The first one's DELETE had no response; its GET waits for a permit as everybody does.
  EXPECT_EQ(reads, (std::vector<int>{0, 0}));
  EXPECT_TRUE(gitlab_.live().empty());
}

}  // namespace
}  // namespace tokenbroker
