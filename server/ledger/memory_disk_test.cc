// The ledger on a disk with the failings of a real one: what is promised is on the disk, what cannot be promised is
// refused with a clear error, and once the disk is well the ledger is.

#include "server/ledger/memory_disk.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/base/manual_loop.h"
#include "server/ledger/audit_chain.h"
#include "server/ledger/sqlite_db.h"
#include "server/ledger/sqlite_ledger.h"

namespace tokenbroker {
namespace {

using Fault = MemoryDisk::Fault;

class MemoryDiskTest : public testing::Test {
 protected:
  MemoryDiskTest() {
    std::string folder = testing::TempDir() + "disk_XXXXXX";
    folder_ = mkdtemp(folder.data());
    Open();
  }
  ~MemoryDiskTest() override {
    ledger_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Open() {
    ledger_.reset();
    SqliteLedgerOptions options;
    options.path = folder_ + "/ledger.db";
    options.broker = "test";
    options.vfs = disk_.vfs();
    options.on_executor = true;
    absl::StatusOr<std::unique_ptr<Ledger>> ledger = OpenSqliteLedger(options, loop_, loop_, random_, metrics_);
    ASSERT_EQ(ledger.status(), absl::OkStatus());
    ledger_ = *std::move(ledger);
  }

  // A token's intent, and whether the ledger took it.
  absl::Status Begin(const TokenId& id) {
    IntentSpec spec;
    spec.token.id = id;
    spec.token.owner = "ci";
    spec.ttl = hours(1);
    return loop_.Finish(ledger_->Begin(std::move(spec))).status();
  }
  bool Has(const TokenId& id) { return loop_.Finish(ledger_->Get(id)).ok(); }

  absl::Status VerifyAudit() {
    const auto db = SqliteDb::OpenReader(folder_ + "/ledger.db", seconds(1), disk_.vfs());
    return db.ok() ? VerifyChains(**db) : db.status();
  }

  static bool Never() { return false; }

  MemoryDisk disk_;
  ManualLoop loop_;
  SystemRandom random_;
  Metrics metrics_;
  std::string folder_;
  std::unique_ptr<Ledger> ledger_;
};

TEST_F(MemoryDiskTest, WhatWasPromisedSurvivesAPowerCut) {
  for (int i = 0; i < 20; ++i) ASSERT_EQ(Begin("t" + std::to_string(i)), absl::OkStatus());
  disk_.CutPower(Never);
  Open();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Has("t" + std::to_string(i))) << i;
  EXPECT_EQ(VerifyAudit(), absl::OkStatus());
}

// The test of the test: a disk whose syncs lie does lose what was promised.
TEST_F(MemoryDiskTest, AnUnsyncedCommitDoesNot) {
  ASSERT_EQ(Begin("kept"), absl::OkStatus());
  disk_.set_fault(Fault::kSyncsLie);
  ASSERT_EQ(Begin("lost"), absl::OkStatus());
  disk_.CutPower(Never);
  Open();
  EXPECT_TRUE(Has("kept"));
  EXPECT_FALSE(Has("lost"));
}

TEST_F(MemoryDiskTest, WhatWasPromisedSurvivesAKill) {
  ASSERT_EQ(Begin("t"), absl::OkStatus());
  disk_.KillConnections();
  EXPECT_EQ(ReasonOf(Begin("dead")), "LEDGER_UNAVAILABLE");
  Open();
  EXPECT_TRUE(Has("t"));
  EXPECT_FALSE(Has("dead"));
}

TEST_F(MemoryDiskTest, ADiskThatIsFullOrReadOnlyOrBrokenRefusesAndRecovers) {
  for (const Fault fault : {Fault::kFull, Fault::kReadOnly, Fault::kBroken}) {
    const std::string id = "before" + std::to_string(static_cast<int>(fault));
    ASSERT_EQ(Begin(id), absl::OkStatus());
    disk_.set_fault(fault);
    const absl::Status refused = Begin("refused");
    EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
    EXPECT_EQ(ReasonOf(refused), "LEDGER_UNAVAILABLE");
    EXPECT_TRUE(Has(id));  // Reading goes on.
    EXPECT_FALSE(Has("refused"));
    disk_.set_fault(Fault::kNone);
    EXPECT_EQ(Begin("after" + std::to_string(static_cast<int>(fault))), absl::OkStatus());
    EXPECT_EQ(VerifyAudit(), absl::OkStatus());
  }
}

// The commit may be on the disk, and the ledger says that it could not promise it: whoever reads it again after a
// restart may find it. What must not be is the other way round.
TEST_F(MemoryDiskTest, ACommitWhoseAnswerIsLostIsNotPromised) {
  ASSERT_EQ(Begin("before"), absl::OkStatus());
  disk_.set_fault(Fault::kAnswersLost);
  const absl::Status end = Begin("unknown");
  const bool promised = end.ok();
  disk_.set_fault(Fault::kNone);
  disk_.CutPower(Never);
  Open();
  EXPECT_TRUE(Has("before"));
  EXPECT_TRUE(!promised || Has("unknown"));
  EXPECT_EQ(VerifyAudit(), absl::OkStatus());
  EXPECT_EQ(Begin("after"), absl::OkStatus());
  EXPECT_EQ(VerifyAudit(), absl::OkStatus());
}

TEST_F(MemoryDiskTest, TheLedgerGoesOnAfterACommitWhoseAnswerIsLost) {
  disk_.set_fault(Fault::kAnswersLost);
  const bool promised = Begin("unknown").ok();
  const bool seen = Has("unknown");
  EXPECT_EQ(promised, seen);  // While the process lives, what it said is what it shows.
  disk_.set_fault(Fault::kNone);
  EXPECT_EQ(Begin("after"), absl::OkStatus());
  disk_.CutPower(Never);
  Open();
  EXPECT_EQ(Has("unknown"), promised);
  EXPECT_TRUE(Has("after"));
  EXPECT_EQ(VerifyAudit(), absl::OkStatus());
}

TEST_F(MemoryDiskTest, ADamagedPageIsAClearErrorAndNotASilentLoss) {
  for (int i = 0; i < 50; ++i) ASSERT_EQ(Begin("t" + std::to_string(i)), absl::OkStatus());
  Open();  // Closing has moved the log into the file.
  ledger_.reset();
  disk_.DamagePage(folder_ + "/ledger.db", 1);
  SqliteLedgerOptions options;
  options.path = folder_ + "/ledger.db";
  options.broker = "test";
  options.vfs = disk_.vfs();
  const absl::Status status = OpenSqliteLedger(options, loop_, loop_, random_, metrics_).status();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find(options.path), std::string::npos) << status;
}

}  // namespace
}  // namespace tokenbroker
