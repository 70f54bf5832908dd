#include "server/broker/due_rows.h"

#include <gtest/gtest.h>

namespace tokenbroker {
namespace {

class DueRowsTest : public testing::Test {
 protected:
  void Add(const std::string& id, const std::string& caller, std::int64_t project, WallTime claimed_until) {
    TokenRecord record;
    record.token.id = id;
    record.token.owner = caller;
    record.token.target.kind = TargetKind::kProject;
    record.token.target.id = project;
    record.next_attempt_time = claimed_until;
    rows_.Add(std::move(record));
  }
  void Add(const std::string& id, const std::string& caller, std::int64_t project) {
    Add(id, caller, project, now_ + seconds(30));
  }
  std::string Start() {
    const std::optional<TokenRecord> record =
        rows_.Start(now_, [this](const std::string& target) { return held_back_ == target; });
    return record.has_value() ? record->token.id : "";
  }
  int StartAll() {
    int started = 0;
    while (!Start().empty()) ++started;
    return started;
  }

  WallTime now_ = FromMicros(1'764'000'000'000'000);
  std::string held_back_;
  DueRows rows_;
};

TEST_F(DueRowsTest, StartsRowsInTheOrderInWhichTheyCame) {
  Add("3", "a", 7);
  Add("1", "b", 8);
  Add("2", "a", 9);
  EXPECT_EQ(Start(), "3");
  EXPECT_EQ(Start(), "1");
  EXPECT_EQ(Start(), "2");
  EXPECT_EQ(Start(), "");
}

TEST_F(DueRowsTest, OneTargetHasAQuarterInFlight) {
  for (int i = 0; i < 400; ++i) Add("hung" + std::to_string(i), "a", 7);
  EXPECT_EQ(StartAll(), DueRows::kMaxInFlightOfTarget);
  Add("another", "a", 8);
  EXPECT_EQ(Start(), "another");
  rows_.Finish("hung0");
  EXPECT_EQ(Start(), "hung64");
  EXPECT_EQ(Start(), "");
}

TEST_F(DueRowsTest, OfATargetThatIsHeldBackOneRowIsInFlight) {
  held_back_ = "project:7";
  for (int i = 0; i < 10; ++i) Add("hung" + std::to_string(i), "a", 7);
  Add("another", "a", 8);
  EXPECT_EQ(StartAll(), 2);
  rows_.Finish("hung0");
  EXPECT_EQ(Start(), "hung1");
  EXPECT_EQ(Start(), "");
  held_back_.clear();
  EXPECT_EQ(StartAll(), 8);
}

TEST_F(DueRowsTest, OneCallerHasAHalfInFlight) {
  for (int i = 0; i < 400; ++i) Add("a" + std::to_string(i), "a", i);
  EXPECT_EQ(StartAll(), DueRows::kMaxInFlightOfCaller);
  EXPECT_FALSE(rows_.is_full());
  for (int i = 0; i < 400; ++i) Add("b" + std::to_string(i), "b", 1000 + i);
  EXPECT_EQ(StartAll(), DueRows::kMaxInFlightOfCaller);
  EXPECT_TRUE(rows_.is_full());
  rows_.Finish("b3");
  EXPECT_EQ(Start(), "b128");
}

TEST_F(DueRowsTest, ARowThatIsInFlightIsNotStartedAgain) {
  Add("1", "a", 7);
  EXPECT_EQ(Start(), "1");
  now_ += seconds(30);
  Add("1", "a", 7);
  EXPECT_EQ(Start(), "");
  rows_.Finish("1");
  Add("1", "a", 7);
  EXPECT_EQ(Start(), "1");
}

TEST_F(DueRowsTest, ARowWhoseClaimHasEndedIsForgottenUnlessItWasClaimedAgain) {
  for (int i = 0; i < 64; ++i) Add("hung" + std::to_string(i), "a", 7);
  EXPECT_EQ(StartAll(), 64);
  Add("first", "a", 7);
  Add("second", "a", 7);
  now_ += seconds(30);
  Add("second", "a", 7);
  rows_.Finish("hung0");
  rows_.Finish("hung1");
  EXPECT_EQ(Start(), "second");
  EXPECT_EQ(Start(), "");
  Add("first", "a", 7);
  EXPECT_EQ(Start(), "first");
}

TEST_F(DueRowsTest, WhatMayNotWaitIsForgotten) {
  const int more = static_cast<int>(DueRows::kMaxWaiting) + 100;
  for (int i = 0; i < more; ++i) Add(std::to_string(i), "a", 7);
  int started = 0;
  for (std::string id = Start(); !id.empty(); id = Start()) {
    ++started;
    rows_.Finish(id);
  }
  EXPECT_EQ(started, static_cast<int>(DueRows::kMaxWaiting));
}

}  // namespace
}  // namespace tokenbroker
