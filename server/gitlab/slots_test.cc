#include "server/gitlab/slots.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/base/error.h"
#include "server/base/manual_loop.h"
#include "server/base/task_scope.h"

namespace tokenbroker {
namespace {

using Result = absl::StatusOr<Slots::Slot>;

class SlotsTest : public testing::Test {
 protected:
  ~SlotsTest() override {
    while (!held_.empty()) {  // Who gets the slot of another is the next to give it back.
      held_.clear();
      loop_.RunUntilIdle();
    }
    EXPECT_EQ(scope_.running(), 0u);
  }

  void Make(int most) { slots_ = std::make_unique<Slots>(loop_, loop_, metrics_, most); }

  // Asks, and notes under `name` how it ended.
  void Ask(const std::string& name, Lane lane = Lane::kCreate, CallContext call = {}) {
    AskFor(name, {lane, "", ""}, std::move(call));
  }

  void AskFor(const std::string& name, SlotRequest request, CallContext call = {}) {
    scope_.Spawn<Result>(slots_->Acquire(std::move(call), std::move(request)), [this, name](Result result) {
      ended_.push_back(name);
      if (result.ok()) {
        held_.emplace(name, *std::move(result));
      } else {
        failed_[name] = result.status();
      }
    });
    loop_.RunUntilIdle();
  }

  void Return(const std::string& name) {
    ASSERT_EQ(held_.erase(name), 1u) << name;
    loop_.RunUntilIdle();
  }

  bool Holds(const std::string& name) const { return held_.count(name) == 1; }
  absl::StatusCode CodeOf(const std::string& name) { return failed_.at(name).code(); }
  CallContext Within(Duration time) { return CallContext(loop_.Boot() + time); }

  ManualLoop loop_;
  Metrics metrics_;
  TaskScope scope_{loop_};
  std::unique_ptr<Slots> slots_;
  std::map<std::string, Slots::Slot> held_;
  std::map<std::string, absl::Status> failed_;
  std::vector<std::string> ended_;
};

TEST_F(SlotsTest, NeverMoreThanTheBound) {
  Make(2);
  for (const char* name : {"a", "b", "c", "d"}) Ask(name);
  EXPECT_TRUE(Holds("a") && Holds("b"));
  EXPECT_EQ(held_.size(), 2u);
  Return("a");
  EXPECT_TRUE(Holds("c"));
  EXPECT_EQ(held_.size(), 2u);
  Return("c");
  EXPECT_TRUE(Holds("d"));
}

TEST_F(SlotsTest, AMovedSlotIsGivenBackOnce) {
  Make(1);
  Ask("a");
  {
    Slots::Slot moved = std::move(held_.at("a"));
    held_.clear();
    Ask("b");
    EXPECT_FALSE(Holds("b"));
  }
  loop_.RunUntilIdle();
  EXPECT_TRUE(Holds("b"));
  Ask("c");
  EXPECT_FALSE(Holds("c"));
  Return("b");
}

TEST_F(SlotsTest, AnAssignedSlotGivesItsOldPlaceBack) {
  Make(2);
  Ask("a");
  Ask("b");
  Ask("c");
  held_.at("a") = std::move(held_.at("b"));
  loop_.RunUntilIdle();
  EXPECT_TRUE(Holds("c"));
}

TEST_F(SlotsTest, WhatEndsPowerComesFirst) {
  Make(1);
  Ask("held");
  Ask("look", Lane::kLook);
  Ask("resolve", Lane::kResolve);
  Ask("create", Lane::kCreate);
  Ask("create 2", Lane::kCreate);
  Ask("revoke", Lane::kRevoke);
  for (const char* name : {"held", "revoke", "resolve", "create", "create 2"}) Return(name);
  EXPECT_EQ(ended_, (std::vector<std::string>{"held", "revoke", "resolve", "create", "create 2", "look"}));
}

TEST_F(SlotsTest, EveryEighthGoesToWhoWaitedLongest) {
  Make(1);
  Ask("held");
  Ask("look", Lane::kLook);
  loop_.Advance(seconds(1));
  for (int i = 0; i < 10; ++i) Ask("revoke " + std::to_string(i), Lane::kRevoke);
  std::string holder = "held";
  for (int given = 1; given <= 8; ++given) {
    Return(holder);
    ASSERT_EQ(held_.size(), 1u);
    holder = held_.begin()->first;
    EXPECT_EQ(holder == "look", given == 8) << given;
  }
}

TEST_F(SlotsTest, TheDeadlineEndsTheWait) {
  Make(1);
  Ask("held");
  Ask("late", Lane::kCreate, Within(seconds(3)));
  Ask("next");
  loop_.Advance(seconds(3) - Duration(1));
  EXPECT_EQ(failed_.size(), 0u);
  loop_.Advance(Duration(1));
  EXPECT_EQ(CodeOf("late"), absl::StatusCode::kDeadlineExceeded);
  Return("held");
  EXPECT_TRUE(Holds("next"));
  Ask("too late", Lane::kCreate, CallContext(loop_.Boot()));
  EXPECT_EQ(CodeOf("too late"), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(SlotsTest, WhoLeavesGivesUpTheWait) {
  Make(1);
  Ask("held");
  CancelSource source;
  Ask("leaves", Lane::kCreate, CallContext(kNever, source));
  Ask("stays");
  source.Cancel();
  EXPECT_EQ(failed_.size(), 0u);  // It hops through the executor.
  loop_.RunUntilIdle();
  EXPECT_EQ(CodeOf("leaves"), absl::StatusCode::kCancelled);
  Return("held");
  EXPECT_TRUE(Holds("stays"));
  Ask("left before", Lane::kCreate, CallContext(kNever, source));
  EXPECT_EQ(CodeOf("left before"), absl::StatusCode::kCancelled);
}

TEST_F(SlotsTest, ASlotThatWasGivenIsNotTakenBackByACancellation) {
  Make(1);
  Ask("held");
  CancelSource source;
  Ask("served", Lane::kCreate, CallContext(loop_.Boot() + seconds(9), source));
  Return("held");
  EXPECT_TRUE(Holds("served"));
  source.Cancel();
  loop_.Advance(seconds(10));
  EXPECT_TRUE(Holds("served"));
  EXPECT_EQ(ended_.size(), 2u);
}

TEST_F(SlotsTest, NothingIsLetThroughDuringAPause) {
  Make(4);
  slots_->PauseAll(loop_.Boot() + seconds(10));
  Ask("a");
  Ask("b", Lane::kRevoke, Within(seconds(11)));
  loop_.Advance(seconds(9));
  EXPECT_TRUE(ended_.empty());
  slots_->PauseAll(loop_.Boot());  // A shorter one changes nothing.
  loop_.RunUntilIdle();
  EXPECT_TRUE(ended_.empty());
  loop_.Advance(seconds(1));
  EXPECT_EQ(ended_, (std::vector<std::string>{"b", "a"}));
}

TEST_F(SlotsTest, APauseMayGrow) {
  Make(4);
  slots_->PauseAll(loop_.Boot() + seconds(5));
  slots_->PauseAll(loop_.Boot() + seconds(10));
  Ask("a");
  loop_.Advance(seconds(9));
  EXPECT_FALSE(Holds("a"));
  loop_.Advance(seconds(1));
  EXPECT_TRUE(Holds("a"));
}

TEST_F(SlotsTest, APauseThatOutlastsTheDeadlineIsSaidAtOnce) {
  Make(4);
  slots_->PauseAll(loop_.Boot() + seconds(10));
  Ask("hopeless", Lane::kCreate, Within(seconds(10)));
  EXPECT_EQ(CodeOf("hopeless"), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(failed_.at("hopeless")), "UPSTREAM_RATE_LIMITED");
  EXPECT_EQ(RetryAfterOf(failed_.at("hopeless")), seconds(10));
}

TEST_F(SlotsTest, APauseThatBeginsLaterEndsHopelessWaits) {
  Make(1);
  Ask("held");
  Ask("hopeless", Lane::kCreate, Within(seconds(8)));
  Ask("patient", Lane::kCreate, Within(seconds(30)));
  slots_->PauseAll(loop_.Boot() + seconds(10));
  loop_.RunUntilIdle();
  EXPECT_EQ(CodeOf("hopeless"), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RetryAfterOf(failed_.at("hopeless")), seconds(10));
  Return("held");
  EXPECT_FALSE(Holds("patient"));
  loop_.Advance(seconds(10));
  EXPECT_TRUE(Holds("patient"));
}

TEST_F(SlotsTest, APauseOfOneLaneStopsNoOther) {
  Make(4);
  slots_->Pause(Lane::kResolve, loop_.Boot() + seconds(60));
  Ask("resolve", Lane::kResolve);
  Ask("create", Lane::kCreate);
  Ask("revoke", Lane::kRevoke, Within(seconds(1)));
  Ask("look", Lane::kLook);
  EXPECT_EQ(ended_, (std::vector<std::string>{"create", "revoke", "look"}));
  loop_.Advance(seconds(60));
  EXPECT_TRUE(Holds("resolve"));
}

TEST_F(SlotsTest, ARevocationProbesThroughAPauseOnceAMinute) {
  Make(4);
  const BootTime began = loop_.Boot();
  slots_->PauseAll(began + seconds(119));
  Ask("create");
  for (const char* name : {"a", "b", "c"}) Ask(name, Lane::kRevoke);
  loop_.Advance(seconds(59));
  EXPECT_TRUE(ended_.empty());
  loop_.Advance(seconds(1));
  EXPECT_EQ(ended_, (std::vector<std::string>{"a"}));
  // The response to it was a 429, too: the pause grows, and the next probe is a minute after this one.
  slots_->PauseAll(began + seconds(180));
  Return("a");
  loop_.Advance(seconds(59));
  EXPECT_EQ(ended_.size(), 1u);
  loop_.Advance(seconds(1));
  EXPECT_EQ(ended_, (std::vector<std::string>{"a", "b"}));
  // One at a time: "b" has no response yet.
  slots_->PauseAll(began + seconds(600));
  loop_.Advance(seconds(300));
  EXPECT_EQ(ended_.size(), 2u);
  Return("b");
  EXPECT_EQ(ended_, (std::vector<std::string>{"a", "b", "c"}));
  loop_.Advance(seconds(180));
  EXPECT_TRUE(Holds("create"));
}

TEST_F(SlotsTest, APauseHoldsUpNothingThatContinues) {
  Make(1);
  SlotRequest continues = {Lane::kRevoke, "a", "project:7"};
  continues.continues = true;
  AskFor("first", continues);
  AskFor("delete", {Lane::kRevoke, "a", "project:7"});
  AskFor("list", continues, Within(seconds(10)));
  slots_->PauseAll(loop_.Boot() + seconds(120));
  loop_.RunUntilIdle();
  EXPECT_TRUE(failed_.empty());
  Return("first");
  EXPECT_TRUE(Holds("list"));
  Return("list");
  EXPECT_FALSE(Holds("delete"));
  AskFor("another", continues);
  EXPECT_TRUE(Holds("another"));
  Return("another");
  loop_.Advance(seconds(60));
  EXPECT_TRUE(Holds("delete"));
}

TEST_F(SlotsTest, NamesATargetByItsIdOrElseByItsPath) {
  EXPECT_EQ(SlotTarget(ResolvedTarget{"main", TargetKind::kProject, 7, "acme/payments"}), "project:7");
  EXPECT_EQ(SlotTarget(Target{"main", TargetKind::kProject, "7"}), "project:7");
  EXPECT_EQ(SlotTarget(Target{"main", TargetKind::kProject, "Acme/Payments"}), "project:acme/payments");
  EXPECT_EQ(SlotTarget(Target{"main", TargetKind::kUser, "demo"}), "user:demo");
}

TEST_F(SlotsTest, TooManyWaitersAreSentAway) {
  Make(1);
  Ask("held");
  for (int i = 0; i < 10'000; ++i) {
    scope_.Spawn<Result>(slots_->Acquire(Within(seconds(5)), {Lane::kLook, "", ""}), [](Result) {});
  }
  loop_.RunUntilIdle();
  Ask("another lane");
  Ask("one more", Lane::kLook);
  EXPECT_EQ(CodeOf("one more"), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(failed_.at("one more")), "UPSTREAM_BUSY");
  EXPECT_TRUE(RetryAfterOf(failed_.at("one more")).has_value());
  loop_.Advance(seconds(5));  // All gave up: there is room again.
  Ask("later");
  Return("held");
  Return("another lane");
  EXPECT_TRUE(Holds("later"));
}

TEST_F(SlotsTest, OneTargetHoldsAQuarter) {
  Make(8);
  for (int i = 0; i < 20; ++i) AskFor("hung " + std::to_string(i), {Lane::kRevoke, "a", "project 7"});
  EXPECT_EQ(held_.size(), 2u);
  AskFor("another", {Lane::kRevoke, "b", "project 8"});
  AskFor("another create", {Lane::kCreate, "b", "project 8"});
  AskFor("the same caller's", {Lane::kRevoke, "a", "project 9"});
  EXPECT_TRUE(Holds("another") && Holds("another create") && Holds("the same caller's"));
  Return("hung 0");
  EXPECT_TRUE(Holds("hung 2"));
}

TEST_F(SlotsTest, OneCallerHoldsHalfWhileOthersWait) {
  Make(4);
  for (int i = 0; i < 8; ++i) AskFor("a" + std::to_string(i), {Lane::kCreate, "a", std::to_string(i)});
  EXPECT_EQ(held_.size(), 4u);  // Nobody else wants one.
  for (int i = 0; i < 3; ++i) AskFor("b" + std::to_string(i), {Lane::kLook, "b", std::to_string(i)});
  Return("a0");
  Return("a1");
  EXPECT_TRUE(Holds("b0") && Holds("b1"));
  Return("a2");
  EXPECT_TRUE(Holds("a4"));
}

TEST_F(SlotsTest, CallersTakeTurns) {
  Make(1);
  Ask("held");
  for (int i = 0; i < 3; ++i) AskFor("a" + std::to_string(i), {Lane::kCreate, "a", ""});
  AskFor("b0", {Lane::kCreate, "b", ""});
  for (const char* name : {"held", "a0", "b0", "a1"}) Return(name);
  EXPECT_EQ(ended_, (std::vector<std::string>{"held", "a0", "b0", "a1", "a2"}));
}

TEST_F(SlotsTest, OneCallerFillsNoLane) {
  Make(1);
  Ask("held");
  SlotRequest request = {Lane::kRevoke, "a", ""};
  for (int i = 0; i < 2'500; ++i) scope_.Spawn<Result>(slots_->Acquire(Within(seconds(5)), request), [](Result) {});
  loop_.RunUntilIdle();
  AskFor("one more", request);
  EXPECT_EQ(ReasonOf(failed_.at("one more")), "UPSTREAM_BUSY");
  AskFor("another's", {Lane::kRevoke, "b", ""});
  EXPECT_EQ(failed_.size(), 1u);
  loop_.Advance(seconds(5));
}

TEST_F(SlotsTest, NothingOfAWaiterIsLeft) {
  Make(1);
  Ask("held");
  CancelSource source;
  // By deadline, with a registration that could still be called; by cancellation, with a timer that could.
  Ask("deadline", Lane::kCreate, CallContext(loop_.Boot() + seconds(1), source));
  Ask("served", Lane::kRevoke, CallContext(loop_.Boot() + seconds(100), source));
  loop_.Advance(seconds(1));
  EXPECT_EQ(CodeOf("deadline"), absl::StatusCode::kDeadlineExceeded);
  Return("held");
  EXPECT_TRUE(Holds("served"));
  EXPECT_FALSE(loop_.EarliestTimer().has_value());
  Ask("cancelled", Lane::kCreate, CallContext(loop_.Boot() + seconds(100), source));
  EXPECT_TRUE(loop_.EarliestTimer().has_value());
  source.Cancel();
  loop_.RunUntilIdle();
  EXPECT_EQ(CodeOf("cancelled"), absl::StatusCode::kCancelled);
  EXPECT_FALSE(loop_.EarliestTimer().has_value());
}

}  // namespace
}  // namespace tokenbroker
