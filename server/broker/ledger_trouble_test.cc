// A ledger that cannot be written: nothing that adds power happens, and what takes power away does.

#include <gtest/gtest.h>

#include "server/broker/broker_fixture.h"
#include "server/ledger/memory_disk.h"
#include "server/telemetry/metrics_page.h"

namespace tokenbroker {
namespace {

using Fault = FaultyLedger::Fault;

class LedgerTroubleTest : public BrokerTest {
 protected:
  // A create whose POST takes a while, and meanwhile the ledger fails.
  absl::Status CreateWhileTheLedgerFails(Fault fault) {
    gitlab_.set_mint_takes(seconds(1));
    std::optional<absl::StatusOr<Created>> answer;
    broker_->scope().Spawn<absl::StatusOr<Created>>(
        broker_->Create({}, CallerNamed("ci"), UserToken()),
        [&answer](absl::StatusOr<Created> created) { answer = std::move(created); });
    EXPECT_TRUE(loop_.RunUntil([&] { return gitlab_.posts() == 1; }));
    faulty_->set_fault(fault);
    Pass(seconds(2));
    faulty_->set_fault(Fault::kNone);
    EXPECT_TRUE(answer.has_value());
    return answer->status();
  }
};

TEST_F(LedgerTroubleTest, NothingIsSentWithoutADurableIntent) {
  for (const Fault fault : {Fault::kBefore, Fault::kAfter}) {
    faulty_->set_fault(fault);
    const absl::Status status = Create(UserToken()).status();
    EXPECT_EQ(ReasonOf(status), "LEDGER_UNAVAILABLE") << status;
    EXPECT_TRUE(absl::IsUnavailable(status));
  }
  EXPECT_EQ(gitlab_.posts(), 0);
  faulty_->set_fault(Fault::kNone);
  EXPECT_TRUE(Create(UserToken()).ok());
}

TEST_F(LedgerTroubleTest, ASecretThatCannotBeRecordedIsNotHandedOut) {
  StartJobs();
  const absl::Status status = CreateWhileTheLedgerFails(Fault::kBefore);
  // Never UNAVAILABLE: stock retry policies would resend a POST that was sent.
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_EQ(ReasonOf(status), "UPSTREAM_OUTCOME_UNKNOWN");
  EXPECT_TRUE(gitlab_.live().empty());
  Pass(minutes(11));
  EXPECT_EQ(OnlyToken().state, TokenState::kAbandoned);
}

TEST_F(LedgerTroubleTest, ALostCommitOfAnActivationEndsInNoLiveToken) {
  StartJobs();
  const absl::Status status = CreateWhileTheLedgerFails(Fault::kAfter);
  EXPECT_EQ(ReasonOf(status), "UPSTREAM_OUTCOME_UNKNOWN");
  EXPECT_TRUE(gitlab_.live().empty());
  // The row is ACTIVE, without a token: the reconciler sees it.
  Pass(minutes(12));
  EXPECT_EQ(OnlyToken().state, TokenState::kRevoked);
  EXPECT_EQ(OnlyToken().revoke_reason, RevokeReason::kUpstream);
}

TEST_F(LedgerTroubleTest, ARevocationStillTakesPowerAwayButIsNotCalledDurable) {
  const absl::StatusOr<Created> created = Create(UserToken());
  ASSERT_TRUE(created.ok());
  faulty_->set_fault(Fault::kBefore);
  const absl::Status status = Revoke(created->token.id).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(ReasonOf(status), "REVOKED_UPSTREAM_NOT_RECORDED");
  EXPECT_TRUE(gitlab_.live().empty());

  faulty_->set_fault(Fault::kNone);
  const absl::StatusOr<Created> second = Create(UserToken());
  ASSERT_TRUE(second.ok());
  faulty_->set_fault(Fault::kBefore);
  gitlab_.set_down(true);
  EXPECT_EQ(ReasonOf(Revoke(second->token.id).status()), "NOT_REVOKED");
}

// The commit took so long that the sweeps might not find what a POST would make: there is none.
TEST_F(LedgerTroubleTest, AfterASlowCommitNoPostLeaves) {
  StartJobs();
  faulty_->set_begin_takes(loop_, minutes(1));
  std::optional<absl::StatusOr<Created>> response;
  broker_->scope().Spawn<absl::StatusOr<Created>>(
      broker_->Create({}, CallerNamed("ci"), UserToken()),
      [&response](absl::StatusOr<Created> created) { response = std::move(created); });
  Pass(minutes(1) + seconds(2));
  ASSERT_TRUE(response.has_value());
  EXPECT_TRUE(absl::IsUnavailable(response->status())) << response->status();
  EXPECT_EQ(gitlab_.posts(), 0);
  EXPECT_EQ(OnlyToken().state, TokenState::kAbandoned);

  faulty_->set_begin_takes(loop_, seconds(4));
  response.reset();
  broker_->scope().Spawn<absl::StatusOr<Created>>(
      broker_->Create({}, CallerNamed("ci"), UserToken()),
      [&response](absl::StatusOr<Created> created) { response = std::move(created); });
  Pass(seconds(6));
  ASSERT_TRUE(response.has_value());
  EXPECT_TRUE(response->ok()) << response->status();
  EXPECT_EQ(gitlab_.posts(), 1);
}

TEST_F(LedgerTroubleTest, AnExpiryIsDoneWhenTheLedgerIsBack) {
  StartJobs();
  CreateRequest request = UserToken();
  request.ttl = minutes(1);
  const absl::StatusOr<Created> created = Create(request);
  ASSERT_TRUE(created.ok());
  faulty_->set_fault(Fault::kBefore);
  Pass(minutes(1) + seconds(1));
  // What cannot be recorded is done all the same, once a minute at most.
  EXPECT_EQ(StateOf(created->token.id), TokenState::kActive);
  EXPECT_TRUE(gitlab_.live().empty());
  const int deletes = gitlab_.deletes();
  Pass(minutes(2));
  EXPECT_EQ(gitlab_.deletes(), deletes + 2);
  faulty_->set_fault(Fault::kNone);
  Pass(seconds(3));
  EXPECT_EQ(StateOf(created->token.id), TokenState::kExpired);
  EXPECT_TRUE(gitlab_.live().empty());
}

// A disk that is full, or was remounted read-only: reads go on.
class FullDiskTest : public BrokerTest, public testing::WithParamInterface<MemoryDisk::Fault> {
 protected:
  FullDiskTest() {
    vfs_ = disk_.vfs();
    Restart();
  }
  ~FullDiskTest() override { Stop(); }

  MemoryDisk disk_;
};

TEST_P(FullDiskTest, WhatIsDueIsRevokedInTimeAndRecordedLater) {
  StartJobs();
  constexpr int kTokens = 100;  // More than one claim has.
  for (int i = 0; i < kTokens; ++i) {
    CreateRequest request = UserToken();
    request.ttl = minutes(2);
    ASSERT_TRUE(Create(request).ok());
  }
  const absl::StatusOr<Created> longer = Create(UserToken());
  ASSERT_TRUE(longer.ok());
  disk_.set_fault(GetParam());
  Pass(minutes(2) - seconds(2));
  EXPECT_EQ(gitlab_.live().size(), kTokens + 1U);
  Pass(seconds(4));
  EXPECT_EQ(gitlab_.live().size(), 1U);
  EXPECT_NE(MetricsPage(metrics_).find("tokenbroker_unrecorded_deletions_total{outcome=\"deleted\"} 100\n"),
            std::string::npos);
  Pass(minutes(5));
  EXPECT_EQ(gitlab_.live().size(), 1U);  // It is not due.
  disk_.set_fault(MemoryDisk::Fault::kNone);
  Pass(seconds(10));
  EXPECT_EQ(StateOf(longer->token.id), TokenState::kActive);
  const absl::StatusOr<Ledger::Counts> counts = loop_.Finish(ledger_->Count());
  ASSERT_TRUE(counts.ok());
  EXPECT_EQ(counts->by_state.at(TokenState::kExpired), kTokens);
}

INSTANTIATE_TEST_SUITE_P(Disks, FullDiskTest, testing::Values(MemoryDisk::Fault::kFull, MemoryDisk::Fault::kReadOnly),
                         [](const auto& info) { return info.param == MemoryDisk::Fault::kFull ? "Full" : "ReadOnly"; });

}  // namespace
}  // namespace tokenbroker
