// The ledger's file, its disk and its neighbours: what SQLite's ledger promises when they misbehave.

#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "server/base/error.h"
#include "server/base/manual_loop.h"
#include "server/base/task_scope.h"
#include "server/domain/expiry.h"
#include "server/ledger/audit_chain.h"
#include "server/ledger/sqlite_db.h"
#include "server/ledger/sqlite_ledger.h"

namespace tokenbroker {
namespace {

class SqliteDiskTest : public testing::Test {
 protected:
  SqliteDiskTest() : folder_(testing::TempDir() + "ledger_XXXXXX") {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    options_.path = folder_ + "/ledger.db";
    options_.broker = "test";
  }
  absl::StatusOr<std::unique_ptr<Ledger>> TryOpen() {
    return OpenSqliteLedger(options_, loop_, loop_, random_, metrics_);
  }
  void Open() { ledger_ = *TryOpen(); }
  absl::Status WhyNotOpened() { return TryOpen().status(); }

  IntentSpec Spec() {
    IntentSpec spec;
    spec.token.id = MakeSortableId(loop_.Now(), random_);
    spec.token.owner = "ci";
    spec.ttl = hours(1);
    return spec;
  }
  absl::Status Begin(IntentSpec spec) { return loop_.Finish(ledger_->Begin(std::move(spec))).status(); }

  // Hands `specs` over to the ledger; their ends come into `ends`.
  void Start(TaskScope& scope, std::vector<IntentSpec> specs, std::vector<absl::Status>* ends) {
    for (IntentSpec& spec : specs) {
      scope.Spawn<absl::StatusOr<DurableIntent>>(
          ledger_->Begin(std::move(spec)),
          [ends](absl::StatusOr<DurableIntent> intent) { ends->push_back(intent.status()); });
    }
    loop_.RunUntilIdle();
  }
  std::vector<IntentSpec> Specs(int count) {
    std::vector<IntentSpec> specs;
    for (int i = 0; i < count; ++i) specs.push_back(Spec());
    return specs;
  }
  // The first column of a query's only row.
  std::string Ask(std::string_view sql) {
    const absl::StatusOr<std::unique_ptr<SqliteDb>> db = SqliteDb::OpenReader(options_.path, seconds(5));
    EXPECT_EQ(db.status(), absl::OkStatus());
    absl::StatusOr<Statement> select = (*db)->Prepare(sql);
    EXPECT_TRUE(*select->Step()) << sql;
    return select->Text(0);
  }
  absl::Status VerifyAudit() { return VerifyChains(**SqliteDb::OpenReader(options_.path, seconds(5))); }

  // Transactions that ended with an error, by the metric.
  double FailedCommits() {
    double failed = 0;
    for (const prometheus::MetricFamily& family : metrics_.registry()->Collect()) {
      if (family.name != "tokenbroker_ledger_commits_total") continue;
      for (const prometheus::ClientMetric& metric : family.metric) {
        if (metric.label.at(0).value == "failed") failed += metric.counter.value;
      }
    }
    return failed;
  }

  // Another process's connection that has the file's write lock.
  std::unique_ptr<SqliteDb> HoldWriteLock() {
    absl::StatusOr<std::unique_ptr<SqliteDb>> other = SqliteDb::OpenWriter(options_.path, seconds(5));
    EXPECT_EQ(other.status(), absl::OkStatus());
    EXPECT_EQ((*other)->Execute("BEGIN IMMEDIATE"), absl::OkStatus());
    return *std::move(other);
  }

  ManualLoop loop_;
  SystemRandom random_;
  Metrics metrics_;
  std::string folder_;
  SqliteLedgerOptions options_;
  std::unique_ptr<Ledger> ledger_;
};

TEST_F(SqliteDiskTest, TheFileIsOursAlone) {
  Open();
  ASSERT_EQ(Begin(Spec()), absl::OkStatus());
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    struct stat facts {};
    ASSERT_EQ(stat((options_.path + suffix).c_str(), &facts), 0) << suffix;
    EXPECT_EQ(facts.st_mode & 0777U, 0600U) << suffix;
  }
}

TEST_F(SqliteDiskTest, WhatIsCommittedIsOnTheDisk) {
  const absl::StatusOr<std::unique_ptr<SqliteDb>> db = SqliteDb::OpenWriter(options_.path, seconds(1));
  ASSERT_EQ(db.status(), absl::OkStatus());
  const auto pragma = [&db](const std::string& name) {
    absl::StatusOr<Statement> statement = (*db)->Prepare("PRAGMA " + name);
    EXPECT_TRUE(*statement->Step());
    return statement->Text(0);
  };
  EXPECT_EQ(pragma("journal_mode"), "wal");
  EXPECT_EQ(pragma("synchronous"), "2");  // FULL.
  EXPECT_EQ(pragma("foreign_keys"), "1");
}

TEST_F(SqliteDiskTest, WhatIsNoLedgerIsNamed) {
  std::ofstream(options_.path) << std::string(4096, 'x');
  const absl::Status garbage = WhyNotOpened();
  EXPECT_NE(garbage.message().find(options_.path), absl::string_view::npos) << garbage;
  EXPECT_NE(garbage.message().find("not a database"), absl::string_view::npos) << garbage;

  options_.path = folder_ + "/missing/ledger.db";
  const absl::Status missing = WhyNotOpened();
  EXPECT_NE(missing.message().find(options_.path), absl::string_view::npos) << missing;
  EXPECT_NE(missing.message().find("No such file"), absl::string_view::npos) << missing;
}

TEST_F(SqliteDiskTest, AnotherProcessThatKeepsTheLockStopsWritesForABoundedTimeAlone) {
  options_.busy = milliseconds(100);
  Open();
  const IntentSpec known = Spec();
  ASSERT_EQ(Begin(known), absl::OkStatus());
  std::unique_ptr<SqliteDb> other = HoldWriteLock();
  {
    TaskScope scope(loop_);
    std::vector<absl::Status> ends;
    constexpr int kMany = 5000;
    Start(scope, Specs(kMany), &ends);
    EXPECT_EQ(loop_.Finish(ledger_->Get(known.token.id)).status(), absl::OkStatus());
    ASSERT_TRUE(loop_.RunUntil([&] { return ends.size() == kMany; }));
    for (const absl::Status& end : ends) {
      ASSERT_EQ(end.code(), absl::StatusCode::kUnavailable);
      ASSERT_EQ(ReasonOf(end), "LEDGER_UNAVAILABLE");
      ASSERT_NE(RetryAfterOf(end), std::nullopt);
    }
    // They fill some forty batches, but must not wait for the lock one batch after the other.
    EXPECT_LT(FailedCommits(), 20);
  }
  ASSERT_EQ(other->Execute("ROLLBACK"), absl::OkStatus());
  EXPECT_EQ(Begin(Spec()), absl::OkStatus());
  EXPECT_EQ(Ask("SELECT COUNT(*) FROM tokens"), "2");
  EXPECT_EQ(VerifyAudit(), absl::OkStatus());
}

// A transaction of somebody else's between ours, and a reader that stays: neither is a failure.
TEST_F(SqliteDiskTest, OtherProcessesMayReadAndWriteInBetween) {
  Open();
  const absl::StatusOr<std::unique_ptr<SqliteDb>> reader = SqliteDb::OpenReader(options_.path, seconds(1));
  ASSERT_EQ((*reader)->Execute("BEGIN; SELECT COUNT(*) FROM tokens"), absl::OkStatus());
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(Begin(Spec()), absl::OkStatus());
    std::unique_ptr<SqliteDb> other = HoldWriteLock();
    ASSERT_EQ(other->Execute("UPDATE meta SET value = value WHERE key = 'broker'; COMMIT"), absl::OkStatus());
  }
  EXPECT_EQ(Ask("SELECT COUNT(*) FROM tokens"), "20");
}

// A file that may not grow, as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(const std::string& path) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit full = {std::filesystem::file_size(path), before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &full);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(SqliteDiskTest, AFullDiskRefusesWritesAndHealsByItself) {
  Open();
  const IntentSpec known = Spec();
  ASSERT_EQ(Begin(known), absl::OkStatus());
  {
    const FullDisk full(options_.path + "-wal");
    for (int i = 0; i < 3; ++i) {
      const absl::Status status = Begin(Spec());
      EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
      EXPECT_EQ(ReasonOf(status), "LEDGER_UNAVAILABLE");
    }
    EXPECT_EQ(ReasonOf(loop_.Finish(ledger_->ClaimDue(1)).status()), "");  // Nothing is due: nothing to write.
    EXPECT_EQ(loop_.Finish(ledger_->Get(known.token.id)).status(), absl::OkStatus());
    ledger_->NoteRefusal({"ci", "CreateToken", "NOT_GRANTED", "", "policy-7"});
    EXPECT_FALSE(Begin(Spec()).ok());  // The refusal was tried before this.
  }
  EXPECT_EQ(Begin(Spec()), absl::OkStatus());
  EXPECT_EQ(Ask("SELECT COUNT(*) FROM tokens"), "2");
  ledger_.reset();
  EXPECT_EQ(Ask("SELECT COUNT(*) FROM events WHERE kind = 'refusal'"), "1");
  EXPECT_EQ(VerifyAudit(), absl::OkStatus());
}

// The 5 s within which its POST may leave count from before the transaction, however long the commit takes.
TEST_F(SqliteDiskTest, AnIntentIsAsOldAsItsTransaction) {
  Open();
  std::unique_ptr<SqliteDb> other = HoldWriteLock();
  TaskScope scope(loop_);
  std::optional<absl::StatusOr<DurableIntent>> intent;
  const BootTime asked = loop_.Boot();
  scope.Spawn<absl::StatusOr<DurableIntent>>(
      ledger_->Begin(Spec()), [&](absl::StatusOr<DurableIntent> written) { intent.emplace(std::move(written)); });
  loop_.RunUntilIdle();
  loop_.Advance(minutes(1));
  ASSERT_FALSE(intent.has_value());
  ASSERT_EQ(other->Execute("ROLLBACK"), absl::OkStatus());
  ASSERT_TRUE(loop_.RunUntil([&] { return intent.has_value(); }));
  ASSERT_EQ(intent->status(), absl::OkStatus());
  EXPECT_EQ((*intent)->begun(), asked);
  EXPECT_GT(loop_.Boot() - (*intent)->begun(), kSendWindow);
}

TEST_F(SqliteDiskTest, EachStartIsAWriterAndEveryChangeOfARecordIsNoticed) {
  for (int start = 0; start < 2; ++start) {
    Open();
    for (int i = 0; i < 3; ++i) ASSERT_EQ(Begin(Spec()), absl::OkStatus());
    ledger_.reset();
  }
  EXPECT_EQ(Ask("SELECT COUNT(DISTINCT writer) FROM events"), "2");
  EXPECT_EQ(VerifyAudit(), absl::OkStatus());
  const absl::StatusOr<std::unique_ptr<SqliteDb>> db = SqliteDb::OpenWriter(options_.path, seconds(1));
  for (const char* damage :
       {"UPDATE events SET body = '{}' WHERE seq = 2", "UPDATE events SET caller = 'x' WHERE seq = 2",
        "UPDATE events SET time = time + 1 WHERE seq = 2", "UPDATE events SET token_id = 'x' WHERE seq = 2",
        "UPDATE events SET kind = 'x' WHERE seq = 2", "UPDATE events SET hash = previous WHERE seq = 2",
        "UPDATE events SET seq = 9 WHERE seq = 2", "DELETE FROM events WHERE seq = 2"}) {
    ASSERT_EQ((*db)->Execute("BEGIN IMMEDIATE"), absl::OkStatus());
    ASSERT_EQ((*db)->Execute(damage), absl::OkStatus());
    const absl::Status found = VerifyChains(**db);
    EXPECT_EQ(found.code(), absl::StatusCode::kDataLoss) << damage;
    EXPECT_NE(found.message().find("record 2"), absl::string_view::npos) << damage << ": " << found;
    ASSERT_EQ((*db)->Execute("ROLLBACK"), absl::OkStatus());
  }
  EXPECT_EQ(VerifyChains(**db), absl::OkStatus());
}

TEST_F(SqliteDiskTest, AnIntentsEventSaysWhy) {
  Open();
  IntentSpec spec = Spec();
  spec.grounds = {"builders", "policy-7", "denied by denies[0]", R"({"verb":"create"})"};
  ASSERT_EQ(Begin(spec), absl::OkStatus());
  const std::string body = Ask("SELECT body FROM events");
  for (const char* part : {R"("role":"builders")", R"("policy":"policy-7")", R"("would_have":"denied by denies[0]")",
                           R"("request":{"verb":"create"}})"}) {
    EXPECT_NE(body.find(part), std::string::npos) << part << " is not in " << body;
  }
}

// A minute is a minute, wherever the wall clock goes in it.
TEST_F(SqliteDiskTest, ARefusedMinutesSumIsWrittenAfterAStepBack) {
  Open();
  for (int i = 0; i < 25; ++i) ledger_->NoteRefusal({"loud", "CreateToken", "NOT_GRANTED", "", "policy-7"});
  loop_.StepWall(-hours(5));
  loop_.Advance(minutes(1));
  ASSERT_EQ(loop_.Finish(ledger_->ClaimDue(1)).status(), absl::OkStatus());
  ASSERT_EQ(Begin(Spec()), absl::OkStatus());
  EXPECT_EQ(Ask("SELECT COUNT(*) FROM events WHERE kind = 'refusals'"), "1");
  ledger_->NoteRefusal({"loud", "CreateToken", "NOT_GRANTED", "", "policy-7"});
  ASSERT_EQ(Begin(Spec()), absl::OkStatus());
  EXPECT_EQ(Ask("SELECT COUNT(*) FROM events WHERE kind = 'refusal'"), "11");
}

TEST_F(SqliteDiskTest, ARefusedMinutesSumCountsByReason) {
  Open();
  const auto refuse = [this](int times, const std::string& reason) {
    for (int i = 0; i < times; ++i) ledger_->NoteRefusal({"loud", "CreateToken", reason, "project:x api", "policy-7"});
  };
  refuse(25, "NOT_GRANTED");
  refuse(3, "DENIED");
  loop_.Advance(minutes(1));
  refuse(2, "NOT_GRANTED");  // A new minute: the old one's sum need not wait for a claim.
  ledger_.reset();
  EXPECT_EQ(Ask("SELECT COUNT(*) FROM events WHERE kind = 'refusal'"), "12");
  EXPECT_EQ(Ask("SELECT COUNT(*) FROM events WHERE kind = 'refusals'"), "1");
  const std::string sum = Ask("SELECT body FROM events WHERE kind = 'refusals'");
  EXPECT_NE(sum.find("\"CreateToken NOT_GRANTED\":15"), std::string::npos) << sum;
  EXPECT_NE(sum.find("\"CreateToken DENIED\":3"), std::string::npos) << sum;
}

}  // namespace
}  // namespace tokenbroker
