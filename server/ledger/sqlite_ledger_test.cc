#include "server/ledger/sqlite_ledger.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "server/base/error.h"
#include "server/base/task_scope.h"
#include "server/ledger/audit_chain.h"
#include "server/ledger/contract/ledger_contract.h"
#include "server/ledger/lists.h"
#include "server/ledger/quota.h"
#include "server/ledger/sqlite_db.h"

namespace tokenbroker {
namespace {

std::string FreshPath() {
  std::string folder = testing::TempDir() + "ledger_XXXXXX";
  return std::string(mkdtemp(folder.data())) + "/ledger.db";
}

class SqliteWorld final : public LedgerWorld {
 public:
  absl::StatusOr<std::unique_ptr<Ledger>> Open(ManualLoop& loop, Random& random, Metrics& metrics,
                                               Duration settle) override {
    return OpenSqliteLedger({path_, "tb1", settle}, loop, loop, random, metrics);
  }
  absl::Status VerifyAudit() override { return VerifyChains(*Reader()); }
  absl::Status VerifyQuotas() override { return VerifyOpenTokens(*Reader()); }
  std::vector<std::string> EventsOf(const TokenId& id) override {
    const std::unique_ptr<SqliteDb> db = Reader();
    absl::StatusOr<Statement> select = db->Prepare("SELECT kind FROM events WHERE token_id = ? ORDER BY time, seq");
    select->Bind(1, id);
    std::vector<std::string> kinds;
    while (*select->Step()) kinds.push_back(select->Text(0));
    return kinds;
  }

 private:
  std::unique_ptr<SqliteDb> Reader() { return *SqliteDb::OpenReader(path_, seconds(1)); }
  const std::string path_ = FreshPath();
};

}  // namespace

INSTANTIATE_TEST_SUITE_P(Sqlite, LedgerContract,
                         testing::Values(LedgerUnderTest{"Sqlite", [] { return std::make_unique<SqliteWorld>(); }}),
                         [](const auto& info) { return info.param.name; });

namespace {

// What SQLite says it would do, line by line.
std::vector<std::string> PlanOf(SqliteDb& db, std::string_view sql) {
  absl::StatusOr<Statement> explain = db.Prepare("EXPLAIN QUERY PLAN " + std::string(sql));
  EXPECT_TRUE(explain.ok()) << explain.status();
  std::vector<std::string> lines;
  while (explain.ok() && *explain->Step()) lines.push_back(explain->Text(3));
  return lines;
}

class SqliteLedgerTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Ledger>> Open(const std::string& broker = "tb1", Duration busy = seconds(5)) {
    return OpenSqliteLedger({path_, broker, minutes(10), busy}, loop_, loop_, random_, metrics_);
  }
  IntentSpec Spec() {
    IntentSpec spec;
    spec.token.id = MakeSortableId(loop_.Now(), random_);
    spec.token.owner = "ci";
    spec.token.display_name = "x";
    spec.token.target = {"main", TargetKind::kUser, 42, "demo"};
    spec.token.scopes = {"api"};
    spec.token.upstream_name = "x";
    spec.ttl = hours(1);
    return spec;
  }

  std::string path_ = FreshPath();
  ManualLoop loop_;
  SystemRandom random_;
  Metrics metrics_;
};

TEST_F(SqliteLedgerTest, BelongsToOneProcessAtATime) {
  const absl::StatusOr<std::unique_ptr<Ledger>> first = Open();
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status second = Open().status();
  EXPECT_NE(std::string(second.message()).find("process " + std::to_string(getpid())), std::string::npos) << second;
}

TEST_F(SqliteLedgerTest, ALinkIsNoSecondLedger) {
  const absl::StatusOr<std::unique_ptr<Ledger>> first = Open();
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string real = path_;
  path_ = real + ".soft";
  std::filesystem::create_symlink(real, path_);
  const absl::Status soft = Open().status();
  EXPECT_NE(std::string(soft.message()).find("process " + std::to_string(getpid())), std::string::npos) << soft;
  path_ = real + ".hard";
  std::filesystem::create_hard_link(real, path_);
  const absl::Status hard = Open().status();
  EXPECT_NE(std::string(hard.message()).find("hard links"), std::string::npos) << hard;
  EXPECT_NE(std::string(hard.message()).find(path_), std::string::npos) << hard;
}

// What is not ours is not new: it is left as it is.
TEST_F(SqliteLedgerTest, AFileOfAnotherProgramIsNotTouched) {
  const auto bytes = [this] {
    std::ifstream in(path_, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  {
    sqlite3* other = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &other), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(other, "CREATE TABLE meta (x); INSERT INTO meta VALUES (1)", nullptr, nullptr, nullptr),
              SQLITE_OK);
    sqlite3_close(other);
  }
  const std::string database = bytes();
  const absl::Status foreign = Open().status();
  EXPECT_NE(std::string(foreign.message()).find(path_), std::string::npos) << foreign;
  EXPECT_NE(std::string(foreign.message()).find("another program"), std::string::npos) << foreign;
  EXPECT_EQ(bytes(), database);

  { std::ofstream(path_, std::ios::trunc) << "# no database at all, but long enough to be looked at as one\n"; }
  const std::string text = bytes();
  EXPECT_FALSE(Open().ok());
  EXPECT_EQ(bytes(), text);

  { std::ofstream(path_, std::ios::trunc); }
  EXPECT_TRUE(Open().ok());  // An empty file is new.
}

TEST_F(SqliteLedgerTest, IsForItsOwnersEyes) {
  ASSERT_TRUE(Open().ok());
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(SqliteLedgerTest, BelongsToOneBroker) {
  ASSERT_TRUE(Open().ok());
  const absl::Status other = Open("tb2").status();
  EXPECT_NE(std::string(other.message()).find("tb1"), std::string::npos) << other;
  EXPECT_TRUE(Open().ok());
}

TEST_F(SqliteLedgerTest, ALedgerOfVersion1IsBroughtUp) {
  IntentSpec old = Spec();
  const TokenId id = old.token.id;
  {
    const auto ledger = Open();
    ASSERT_TRUE(ledger.ok()) << ledger.status();
    ASSERT_TRUE(loop_.Finish((*ledger)->Begin(std::move(old))).ok());
  }
  {
    const auto db = SqliteDb::OpenWriter(path_, seconds(1));
    ASSERT_TRUE(db.ok());
    ASSERT_EQ((*db)->Execute("DROP TABLE quotas; DROP TABLE unknown_tokens; DROP TABLE passes;"
                             "ALTER TABLE tokens DROP COLUMN owner_rule; ALTER TABLE tokens DROP COLUMN owner_captures;"
                             "UPDATE meta SET value = '1' WHERE key = 'schema'"),
              absl::OkStatus());
  }
  for (int start = 0; start < 2; ++start) {
    const auto ledger = Open();
    ASSERT_TRUE(ledger.ok()) << ledger.status();
    const absl::StatusOr<TokenRecord> kept = loop_.Finish((*ledger)->Get(id));
    ASSERT_TRUE(kept.ok()) << kept.status();
    EXPECT_EQ(kept->token.owner_rule, "");
    IntentSpec fresh = Spec();
    fresh.token.owner_rule = "c{i}";
    const TokenId fresh_id = fresh.token.id;
    ASSERT_TRUE(loop_.Finish((*ledger)->Begin(std::move(fresh))).ok());
    EXPECT_EQ(loop_.Finish((*ledger)->Get(fresh_id))->token.owner_rule, "c{i}");
  }
}

// The counters are worked out from the rows, and go on from there.
TEST_F(SqliteLedgerTest, ALedgerOfVersion2IsBroughtUp) {
  std::vector<TokenId> ids;
  {
    const auto ledger = Open();
    ASSERT_TRUE(ledger.ok()) << ledger.status();
    for (int i = 0; i < 5; ++i) {
      IntentSpec spec = Spec();
      spec.grounds.role = i < 3 ? "builders" : "readers";
      ids.push_back(spec.token.id);
      ASSERT_TRUE(loop_.Finish((*ledger)->Begin(std::move(spec))).ok());
    }
    ASSERT_EQ(loop_.Finish((*ledger)->Abandon(ids[0], "rejected")), absl::OkStatus());
  }
  {
    const auto db = SqliteDb::OpenWriter(path_, seconds(1));
    ASSERT_EQ((*db)->Execute("DROP TABLE quotas; DROP TABLE unknown_tokens; DROP TABLE passes;"
                             "UPDATE meta SET value = '2' WHERE key = 'schema'"),
              absl::OkStatus());
  }
  for (int start = 0; start < 2; ++start) {
    const auto ledger = Open();
    ASSERT_TRUE(ledger.ok()) << ledger.status();
    EXPECT_EQ(VerifyOpenTokens(**SqliteDb::OpenReader(path_, seconds(1))), absl::OkStatus());
    const QuotaLimits two = {2, 0};
    EXPECT_EQ(ReasonOf(loop_.Finish((*ledger)->CheckQuota("ci", "builders", two, std::nullopt))), "QUOTA_EXCEEDED");
    EXPECT_EQ(loop_.Finish((*ledger)->CheckQuota("ci", "builders", {3, 0}, std::nullopt)), absl::OkStatus());
  }
}

// The check itself: a counter that is wrong, missing, or of nobody.
TEST_F(SqliteLedgerTest, AWrongCounterIsNamed) {
  {
    const auto ledger = Open();
    ASSERT_TRUE(loop_.Finish((*ledger)->Begin(Spec())).ok());
  }
  const auto db = SqliteDb::OpenWriter(path_, seconds(1));
  ASSERT_EQ(VerifyOpenTokens(**db), absl::OkStatus());
  for (const char* damage :
       {"UPDATE quotas SET open_tokens = 2", "DELETE FROM quotas", "INSERT INTO quotas VALUES ('nobody', '', 1)"}) {
    ASSERT_EQ((*db)->Execute("BEGIN IMMEDIATE"), absl::OkStatus());
    ASSERT_EQ((*db)->Execute(damage), absl::OkStatus());
    EXPECT_EQ(VerifyOpenTokens(**db).code(), absl::StatusCode::kDataLoss) << damage;
    ASSERT_EQ((*db)->Execute("ROLLBACK"), absl::OkStatus());
  }
}

// A create reads a counter, however many tokens its caller has.
TEST_F(SqliteLedgerTest, AQuotaReadsNoRowOfTheCallers) {
  ASSERT_TRUE(Open().ok());
  const auto db = *SqliteDb::OpenReader(path_, seconds(1));
  EXPECT_EQ(PlanOf(*db, "SELECT open_tokens FROM quotas WHERE owner = ? AND role = ?"),
            std::vector<std::string>{"SEARCH quotas USING PRIMARY KEY (owner=? AND role=?)"});
}

TEST_F(SqliteLedgerTest, RefusesANewerSchema) {
  ASSERT_TRUE(Open().ok());
  {
    const auto db = SqliteDb::OpenWriter(path_, seconds(1));
    ASSERT_TRUE((*db)->Execute("UPDATE meta SET value = '4' WHERE key = 'schema'").ok());
  }
  const absl::Status newer = Open().status();
  EXPECT_NE(std::string(newer.message()).find("schema version 4"), std::string::npos) << newer;
}

// What was durable when the process died is there for the next: its files are copied as they are, without a close.
TEST_F(SqliteLedgerTest, SurvivesADeathWithoutAClose) {
  absl::StatusOr<std::unique_ptr<Ledger>> ledger = Open();
  const IntentSpec spec = Spec();
  ASSERT_TRUE(loop_.Finish((*ledger)->Begin(spec)).ok());
  const std::string copy = FreshPath();
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::copy_file(path_ + suffix, copy + suffix);
  }
  path_ = copy;
  const absl::StatusOr<std::unique_ptr<Ledger>> next = Open();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(loop_.Finish((*next)->Get(spec.token.id)).ok());
}

// Many that wait share few commits: fewer batches than operations, none lost.
TEST_F(SqliteLedgerTest, PacksWhatWaitsIntoFewCommits) {
  absl::StatusOr<std::unique_ptr<Ledger>> ledger = Open();
  const auto reader = SqliteDb::OpenReader(path_, seconds(1));
  const auto blocker = SqliteDb::OpenWriter(path_, seconds(1));
  ASSERT_TRUE((*blocker)->Execute("BEGIN IMMEDIATE").ok());  // While it lasts, all of them wait.
  TaskScope scope(loop_);
  constexpr int kMany = 100;
  int begun = 0;
  for (int i = 0; i < kMany; ++i) {
    scope.Spawn<absl::StatusOr<DurableIntent>>((*ledger)->Begin(Spec()),
                                               [&begun](const absl::StatusOr<DurableIntent>& intent) {
                                                 if (intent.ok()) ++begun;
                                               });
  }
  loop_.RunUntilIdle();
  ASSERT_TRUE((*blocker)->Execute("COMMIT").ok());
  ASSERT_TRUE(loop_.RunUntil([&] { return scope.running() == 0; }));
  EXPECT_EQ(begun, kMany);
  absl::StatusOr<Statement> select = (*reader)->Prepare("SELECT value FROM meta WHERE key = 'last_batch'");
  ASSERT_TRUE(*select->Step());
  const std::string batch = select->Text(0);
  EXPECT_LE(std::stoi(batch.substr(batch.find('/') + 1)), 5);
}

TEST_F(SqliteLedgerTest, AFailedOperationTakesNoOtherWithIt) {
  absl::StatusOr<std::unique_ptr<Ledger>> ledger = Open();
  const auto blocker = SqliteDb::OpenWriter(path_, seconds(1));
  ASSERT_TRUE((*blocker)->Execute("BEGIN IMMEDIATE").ok());
  TaskScope scope(loop_);
  const IntentSpec good = Spec();
  int ok = 0;
  // Twice the same id: the second one must fail, the first one stay.
  for (const IntentSpec& spec : {good, good, Spec()}) {
    scope.Spawn<absl::StatusOr<DurableIntent>>(
        (*ledger)->Begin(spec), [&ok](const absl::StatusOr<DurableIntent>& intent) { ok += intent.ok() ? 1 : 0; });
  }
  loop_.RunUntilIdle();
  ASSERT_TRUE((*blocker)->Execute("COMMIT").ok());
  ASSERT_TRUE(loop_.RunUntil([&] { return scope.running() == 0; }));
  EXPECT_EQ(ok, 2);
  EXPECT_TRUE(VerifyChains(**SqliteDb::OpenReader(path_, seconds(1))).ok());
}

TEST_F(SqliteLedgerTest, AnotherProcesssLockIsWaitedForAndThenAnError) {
  absl::StatusOr<std::unique_ptr<Ledger>> ledger = Open("tb1", milliseconds(100));
  const auto blocker = SqliteDb::OpenWriter(path_, seconds(1));
  ASSERT_TRUE((*blocker)->Execute("BEGIN IMMEDIATE").ok());
  const absl::Status locked = loop_.Finish((*ledger)->Begin(Spec())).status();
  EXPECT_TRUE(absl::IsUnavailable(locked)) << locked;
  EXPECT_EQ(ReasonOf(locked), "LEDGER_UNAVAILABLE");
  ASSERT_TRUE((*blocker)->Execute("COMMIT").ok());
  EXPECT_TRUE(loop_.Finish((*ledger)->Begin(Spec())).ok());  // It recovers by itself.
}

TEST_F(SqliteLedgerTest, ADamagedAuditIsNamedAtItsFirstBadRecord) {
  {
    absl::StatusOr<std::unique_ptr<Ledger>> ledger = Open();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(loop_.Finish((*ledger)->Begin(Spec())).ok());
  }
  const auto db = SqliteDb::OpenWriter(path_, seconds(1));
  ASSERT_TRUE(VerifyChains(**db).ok());
  ASSERT_TRUE((*db)->Execute("UPDATE events SET caller = 'nobody' WHERE seq = 2").ok());
  const absl::Status broken = VerifyChains(**db);
  EXPECT_NE(std::string(broken.message()).find("record 2"), std::string::npos) << broken;
}

// No single term and no order makes SQLite read more than a range of one index, or sort.
TEST_F(SqliteLedgerTest, EveryListIsARangeOfAnIndex) {
  ASSERT_TRUE(Open().ok());
  const auto db = *SqliteDb::OpenReader(path_, seconds(1));
  const WallTime time = loop_.Now();
  struct Row {
    TokenTerm term;
    std::string table;  // That serves it in the order of create_time.
  };
  const std::vector<Row> rows = {
      {StateTerm{TokenState::kRevoking}, "tokens"},
      {StateTerm{TokenState::kActive, true}, "tokens"},
      {OwnerTerm{"ci"}, "tokens"},
      {TimeTerm{TimeField::kCreateTime, time, time}, "tokens"},
      {TimeTerm{TimeField::kExpireTime, time, time}, "tokens"},
      {TargetTerm{{"", TargetKind::kUser, "42"}}, "token_terms"},
      {TargetTerm{{"", TargetKind::kProject, "acme/payments"}}, "token_terms"},
      {ScopeTerm{"api"}, "token_terms"},
      {LabelTerm{"team", {}}, "token_terms"},
      {LabelTerm{"team", "payments"}, "token_terms"},
  };
  for (const Row& row : rows) {
    for (const TimeField by : {TimeField::kCreateTime, TimeField::kExpireTime}) {
      for (const bool descending : {false, true}) {
        ListQuery query;
        query.terms = {row.term};
        query.order = {by, descending};
        const bool by_create = by == TimeField::kCreateTime;
        const std::string column(NameOf(by));
        std::string plan = by_create && row.table == "token_terms"
                               ? "SEARCH token_terms USING PRIMARY KEY (owner=? AND term=? AND closed=?"
                               : std::string("SEARCH tokens USING COVERING INDEX ") +
                                     (by_create ? "tokens_created" : "tokens_expiring") + " (owner=? AND state=?";
        if (descending) {
          absl::StrAppend(&plan, " AND ", column, ">? AND (", column, ",id)<(?,?))");
        } else {
          absl::StrAppend(&plan, " AND (", column, ",id)>(?,?) AND ", column, "<?)");
        }
        EXPECT_EQ(PlanOf(*db, RunStatement(query)), std::vector<std::string>{plan});
      }
    }
  }
  const std::vector<std::string> owners = PlanOf(*db, OwnerStatement());
  ASSERT_EQ(owners.size(), 1U);
  EXPECT_NE(owners[0].find("SEARCH tokens USING COVERING INDEX"), std::string::npos) << owners[0];
}

}  // namespace
}  // namespace tokenbroker
