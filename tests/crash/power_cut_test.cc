#include "tests/crash/power_cut.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace tokenbroker {
namespace {

void Run(sqlite3* db, const std::string& sql) {
  if (sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) _exit(1);
}

// Commits `rows` rows, each in a transaction of its own, and dies by SIGKILL.
void WriteAndDie(const std::string& path, Syncs syncs, const std::string& synchronous, int rows) {
  const pid_t child = fork();
  if (child == 0) {
    LosePowerAtKill(syncs);
    sqlite3* db = nullptr;
    if (sqlite3_open(path.c_str(), &db) != SQLITE_OK) _exit(1);
    Run(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=" + synchronous + "; CREATE TABLE t (n INTEGER)");
    for (int row = 0; row < rows; ++row) Run(db, "INSERT INTO t VALUES (" + std::to_string(row) + ")");
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "it ended before it was killed";
}

// How many are there afterwards; -1 if not even the table is.
int Left(const std::string& path) {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  sqlite3_stmt* count = nullptr;
  int rows = -1;
  if (sqlite3_prepare_v2(db, "SELECT COUNT(*) FROM t", -1, &count, nullptr) == SQLITE_OK &&
      sqlite3_step(count) == SQLITE_ROW) {
    rows = sqlite3_column_int(count, 0);
  }
  sqlite3_finalize(count);
  sqlite3_close(db);
  return rows;
}

TEST(PowerCutTest, WhatWasSyncedStays) {
  const std::string path = testing::TempDir() + "full.db";
  WriteAndDie(path, Syncs::kHonest, "FULL", 20);
  EXPECT_EQ(Left(path), 20);
}

TEST(PowerCutTest, WhatWasNotSyncedIsGone) {
  const std::string path = testing::TempDir() + "off.db";
  WriteAndDie(path, Syncs::kHonest, "OFF", 20);
  EXPECT_EQ(Left(path), -1);
}

TEST(PowerCutTest, ALateSyncLosesTheLastCommit) {
  const std::string path = testing::TempDir() + "late.db";
  WriteAndDie(path, Syncs::kLate, "FULL", 20);
  EXPECT_EQ(Left(path), 19);
}

}  // namespace
}  // namespace tokenbroker
