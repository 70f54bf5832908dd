// Backup and restore as an operator does them: of a running broker, over a ledger whose write-ahead log has stayed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "tests/integration/broker_process.h"

namespace tokenbroker {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

std::string BytesOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Over the file that is there, as `cp` does: the file stays, its content is another.
void CopyOver(const std::string& from, const std::string& to) {
  std::ofstream(to, std::ios::binary | std::ios::trunc) << BytesOf(from);
}
// As `mv` of a copy does: another file has the name.
void RenameOver(const std::string& from, const std::string& to) {
  fs::copy_file(from, to + ".copy");
  fs::rename(to + ".copy", to);
}

class BackupTest : public testing::Test {
 protected:
  // The ids of `count` new tokens.
  std::set<std::string> Create(int count) {
    std::set<std::string> names;
    const auto client = house_.Client();
    for (int i = 0; i < count; ++i) {
      const auto made = client->Create(UserTokenSpec(house_.demo_user()), {}, DeadlineIn(seconds(20)));
      EXPECT_TRUE(made.ok()) << made.status();
      if (made.ok()) names.insert(made->token.name());
    }
    return names;
  }
  std::set<std::string> Names() {
    const auto tokens = house_.Client()->ListAll(/*show_closed=*/true, DeadlineIn(seconds(20)));
    EXPECT_TRUE(tokens.ok()) << tokens.status();
    std::set<std::string> names;
    if (tokens.ok()) {
      for (const v1::Token& each : *tokens) names.insert(each.name());
    }
    return names;
  }
  // tokenbrokerd --config ... WORDS beside the broker: exit code and output.
  std::pair<int, std::string> Run(std::vector<std::string> words) {
    words.insert(words.begin(), {std::getenv("TOKENBROKERD"), "--config", house_.path("config.yaml")});
    ChildProcess process(words, house_.environment(), house_.path("command.log"));
    const int code = process.Wait(seconds(60)).value_or(-1);
    return {code, process.output()};
  }
  void Backup(const std::string& file) {
    const auto [code, output] = Run({"--backup-ledger", file});
    ASSERT_EQ(code, 0) << output;
    EXPECT_THAT(output, HasSubstr("tokens, verified"));
  }
  std::set<std::string> Unfinished() const {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(house_.folder())) {
      const std::string name = entry.path().filename().string();
      if (name.find("unfinished") != name.npos) found.insert(name);
    }
    return found;
  }
  // A start, or a command, that must leave everything as it is and name the log.
  void ExpectRejected(const std::vector<std::string>& arguments) {
    const std::string ledger = BytesOf(house_.path("ledger.db"));
    const std::string log = BytesOf(house_.path("ledger.db-wal"));
    house_.arguments() = arguments;
    EXPECT_EQ(house_.RunBrokerToItsEnd().value_or(-1), 1) << house_.output();
    EXPECT_THAT(house_.output(), HasSubstr("ledger.db-wal"));
    EXPECT_EQ(BytesOf(house_.path("ledger.db")), ledger);
    EXPECT_EQ(BytesOf(house_.path("ledger.db-wal")), log);
    house_.arguments().clear();
  }

  House house_;
};

TEST_F(BackupTest, ARunningBrokersLedgerIsCopiedWholeWhileItGoesOn) {
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  const std::set<std::string> made = Create(20);
  const std::string backup = house_.path("backup.db");
  umask(0);  // The mode is the backup's own.
  Backup(backup);
  struct stat info {};
  ASSERT_EQ(stat(backup.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_FALSE(fs::exists(backup + "-wal"));
  EXPECT_FALSE(fs::exists(backup + "-journal"));
  EXPECT_TRUE(Unfinished().empty());
  EXPECT_EQ(Create(1).size(), 1u);  // The broker goes on.
  EXPECT_EQ(house_.StopBroker(), 0) << house_.output();

  house_.EditConfig("ledger.db", "backup.db");
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  EXPECT_EQ(Names(), made);
  EXPECT_EQ(house_.StopBroker(), 0);
}

TEST_F(BackupTest, NothingIsOverwrittenAndNothingHalfIsLeft) {
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  const std::string kept = house_.path("kept");
  WriteFileOrDie(kept, "kept");
  fs::create_symlink("nowhere", house_.path("link"));
  WriteFileOrDie(house_.path("stale.db-wal"), "of another file");
  fs::create_directory(house_.path("folder"));
  for (const char* const name : {"kept", "link", "stale.db", "folder", "ledger.db", "absent/backup.db"}) {
    const auto [code, output] = Run({"--backup-ledger", house_.path(name)});
    EXPECT_EQ(code, 1) << name;
    EXPECT_THAT(output, HasSubstr(name));
  }
  EXPECT_EQ(BytesOf(kept), "kept");
  EXPECT_FALSE(fs::exists(house_.path("nowhere")));
  EXPECT_FALSE(fs::exists(house_.path("stale.db")));
  EXPECT_TRUE(Unfinished().empty());
  Create(1);
  EXPECT_EQ(house_.StopBroker(), 0) << house_.output();
}

TEST_F(BackupTest, ADamagedLedgerGivesNoBackup) {
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  Create(20);
  EXPECT_EQ(house_.StopBroker(), 0) << house_.output();
  // An index that lacks what its table has.
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(house_.path("ledger.db").c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db,
                         "PRAGMA writable_schema=ON;"
                         "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'meta')"
                         " WHERE name = 'tokens_live';",
                         nullptr, nullptr, nullptr),
            SQLITE_OK)
      << sqlite3_errmsg(db);
  sqlite3_close(db);
  const auto [code, output] = Run({"--backup-ledger", house_.path("backup.db")});
  EXPECT_EQ(code, 1);
  EXPECT_THAT(output, HasSubstr("backup.db was not made"));
  EXPECT_FALSE(fs::exists(house_.path("backup.db")));
  EXPECT_TRUE(Unfinished().empty());
}

// A backup of the very run whose log lies beside it: in place, and by another file of that name.
TEST_F(BackupTest, ABackupOverALedgerWhoseLogHasStayedIsNotTouched) {
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  const std::set<std::string> made = Create(20);
  const std::string ledger = house_.path("ledger.db");
  const std::string backup = house_.path("backup.db");
  Backup(backup);
  Create(20);
  house_.KillBroker();
  ASSERT_GT(fs::file_size(ledger + "-wal"), 0u);
  for (const auto& put : {CopyOver, RenameOver}) {
    put(backup, ledger);
    ExpectRejected({});
    ExpectRejected({"--restored"});
    ExpectRejected({"--fork-ledger", "other1"});
    ExpectRejected({"--check-config"});
    ExpectRejected({"--backup-ledger", house_.path("second.db")});
    EXPECT_EQ(BytesOf(ledger), BytesOf(backup));
  }
  fs::remove(ledger + "-wal");
  fs::remove(ledger + "-shm");
  ASSERT_EQ(Run({"--restored"}).first, 0);
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  EXPECT_EQ(Names(), made);
  EXPECT_EQ(house_.StopBroker(), 0);
}

// A copy of an earlier run that any other program has made.
TEST_F(BackupTest, AnEarlierCopyOverALedgerWhoseLogHasStayedIsNotTouched) {
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  const std::set<std::string> made = Create(5);
  EXPECT_EQ(house_.StopBroker(), 0);
  const std::string ledger = house_.path("ledger.db");
  fs::copy_file(ledger, house_.path("copy.db"));
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  Create(20);
  house_.KillBroker();
  for (const auto& put : {CopyOver, RenameOver}) {
    put(house_.path("copy.db"), ledger);
    ExpectRejected({});
  }
  fs::remove(ledger);
  house_.arguments().clear();
  EXPECT_EQ(house_.RunBrokerToItsEnd().value_or(-1), 1);  // No ledger, but its log.
  EXPECT_THAT(house_.output(), HasSubstr("ledger.db-wal"));
  EXPECT_FALSE(fs::exists(ledger));

  fs::copy_file(house_.path("copy.db"), ledger);
  fs::remove(ledger + "-wal");
  fs::remove(ledger + "-shm");
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  EXPECT_EQ(Names(), made);
  EXPECT_EQ(house_.StopBroker(), 0);
}

// What a crash leaves belongs together, however often, and whatever of the log was written into the file already.
TEST_F(BackupTest, AfterACrashTheLogIsTheLedgersOwn) {
  std::set<std::string> made;
  for (int run = 0; run < 4; ++run) {
    ASSERT_TRUE(house_.StartBroker()) << house_.output();
    EXPECT_EQ(Names(), made);
    made.merge(Create(5));
    if (run == 2) {  // Part of the log is in the file.
      sqlite3* db = nullptr;
      ASSERT_EQ(sqlite3_open(house_.path("ledger.db").c_str(), &db), SQLITE_OK);
      EXPECT_EQ(sqlite3_exec(db, "PRAGMA wal_checkpoint(PASSIVE)", nullptr, nullptr, nullptr), SQLITE_OK);
      made.merge(Create(5));
      house_.KillBroker();
      sqlite3_close(db);
    } else {
      house_.KillBroker();
    }
  }
  // A ledger of before the run's number was kept.
  fs::remove(house_.path("ledger.db-run"));
  ASSERT_TRUE(house_.StartBroker()) << house_.output();
  EXPECT_EQ(Names(), made);
  EXPECT_EQ(house_.StopBroker(), 0) << house_.output();
}

}  // namespace
}  // namespace tokenbroker
