#include "server/broker/broker_fixture.h"

#include <stdlib.h>

#include <filesystem>
#include <utility>

#include "google/protobuf/text_format.h"

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
  callers {
    name: "warden"
    identities { spiffe: "spiffe://test/warden" }
  }
  roles {
    key: "maker"
    value {
      grants {
        verbs: "create"
        targets { user: 42 }
        targets { user: 1 }
        targets { project: "acme/*" }
        scopes: "read_api"
        scopes: "write_repository"
        scopes: "api"
        self_extending: true
        max_access_level: 30
        max_ttl: "30d"
      }
    }
  }
  roles {
    key: "warden"
    value {
      grants {
        verbs: "read"
        verbs: "revoke"
        targets { user: 42 }
      }
      grants { verbs: "audit" verbs: "reconcile" }
    }
  }
  bindings { callers: "ci" roles: "maker" }
  bindings { callers: "warden" roles: "warden" }
)pb";

std::shared_ptr<const Policy> MakePolicy() {
  config::v1::Policy source;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kPolicy, &source));
  absl::StatusOr<std::shared_ptr<const Policy>> policy = Policy::Compile(source, "test", {});
  EXPECT_TRUE(policy.ok()) << policy.status();
  return *policy;
}

}  // namespace

BrokerTest::BrokerTest(bool agreed_clock) {
  if (agreed_clock) agreed_clock_ = std::make_unique<AgreedClock>(loop_);
  std::string folder = testing::TempDir() + "broker_XXXXXX";
  path_ = std::string(mkdtemp(folder.data())) + "/ledger.db";
  policies_.emplace(MakePolicy());
  gitlab_.AddUser(42, "demo");
  gitlab_.AddUser(1, "root");
  gitlab_.user(1).is_admin = true;
  gitlab_.AddProject(7, "acme/payments");
  Restart();
}

BrokerTest::~BrokerTest() {
  Stop();
  std::filesystem::remove_all(std::filesystem::path(path_).parent_path());
}

void BrokerTest::Restart() {
  Stop();
  Open();
}

void BrokerTest::Stop() {
  if (broker_ != nullptr) {
    broker_->Drain(Duration(0));
    // Whatever still waits for the clock ends as the drain or its own limit says.
    for (int i = 0; i < 200 && broker_->scope().running() > 0; ++i) Pass(seconds(1));
    ASSERT_EQ(broker_->scope().running(), 0u);
  }
  broker_.reset();
  faulty_.reset();
  ledger_.reset();
}

void BrokerTest::Open() {
  Clock& clock = agreed_clock_ != nullptr ? static_cast<Clock&>(*agreed_clock_) : loop_;
  slots_.emplace(loop_, clock, metrics_, permits_);
  absl::StatusOr<std::unique_ptr<Ledger>> ledger =
      OpenSqliteLedger({path_, "tb1", settle_, seconds(5), vfs_}, loop_, clock, random_, metrics_);
  ASSERT_TRUE(ledger.ok()) << ledger.status();
  ledger_ = *std::move(ledger);
  faulty_.emplace(*ledger_);
  const BrokerParts parts = {loop_, clock, random_, *faulty_, gitlab_, *slots_, *policies_, metrics_, NullLog()};
  BrokerOptions options = {"tb1", "main", settle_};
  options.reconcile_calls_per_minute = reconcile_calls_per_minute_;
  broker_ = std::make_unique<Broker>(parts, std::move(options));
}

void BrokerTest::StartJobs() {
  if (agreed_clock_ != nullptr) {
    agreed_clock_->Start([this] { return ConfirmingUpstreamNow(gitlab_.Time(), loop_.Boot()); },
                         [this](Duration, Duration followed) {
                           if (followed < Duration(0) && broker_ != nullptr) broker_->ClockWentBack();
                         });
  }
  broker_->StartLifecycle();
  Settle();
}

absl::StatusOr<Created> BrokerTest::Create(const CreateRequest& request, CallContext call) {
  return loop_.Finish(broker_->Create(std::move(call), CallerNamed("ci"), request));
}

absl::StatusOr<Token> BrokerTest::Get(const TokenId& id, const std::string& caller) {
  return loop_.Finish(broker_->Get(CallerNamed(caller), id));
}

absl::StatusOr<Token> BrokerTest::Revoke(const TokenId& id, const std::string& caller, CallContext call) {
  return loop_.Finish(broker_->Revoke(std::move(call), CallerNamed(caller), id));
}

void BrokerTest::Settle() {
  // The ledger answers from threads of its own: a round trip through each of them flushes what was asked before.
  for (int i = 0; i < 8; ++i) {
    (void)loop_.Finish(ledger_->Count());
    (void)loop_.Finish(ledger_->Get("none"));
    (void)loop_.Finish(ledger_->Abandon("none", ""));
  }
}

void BrokerTest::Pass(Duration by, Duration step) {
  const BootTime end = loop_.Boot() + by;
  while (loop_.Boot() < end) {
    loop_.Advance(std::min<Duration>(step, end - loop_.Boot()));
    Settle();
  }
}

CreateRequest BrokerTest::UserToken() {
  CreateRequest request;
  request.display_name = "DeepTraQ Integration Token";
  request.target = {"", TargetKind::kUser, "42"};
  request.scopes = {"read_user", "read_repository"};
  request.ttl = hours(1);
  return request;
}

CreateRequest BrokerTest::ProjectToken() {
  CreateRequest request = UserToken();
  request.target = {"", TargetKind::kProject, "acme/payments"};
  request.scopes = {"read_repository"};
  request.access_level = 20;
  return request;
}

Token BrokerTest::OnlyToken() {
  ListRequest request;
  request.show_closed = true;
  const absl::StatusOr<ListPage> page = loop_.Finish(broker_->List(CallerNamed("ci"), request));
  EXPECT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->tokens.size(), 1u);
  return page->tokens.empty() ? Token() : page->tokens.front();
}

}  // namespace tokenbroker
