#include "server/base/agreed_clock.h"

#include <gtest/gtest.h>

#include "server/base/manual_loop.h"

namespace tokenbroker {
namespace {

class AgreedClockTest : public testing::Test {
 protected:
  AgreedClockTest() {
    clock_.Start([this] { return reference_; },
                 [this](Duration difference, Duration followed) {
                   difference_ = difference;
                   followed_ += followed != Duration(0) ? 1 : 0;
                   if (followed != Duration(0)) last_followed_ = followed;
                 });
  }
  // The time that should be: by the boot clock.
  WallTime Expected() const { return start_ + (loop_.Boot() - boot_); }

  ManualLoop loop_;
  const WallTime start_ = loop_.Now();
  const BootTime boot_ = loop_.Boot();
  AgreedClock clock_{loop_};
  std::optional<WallTime> reference_;
  Duration difference_{0};
  int followed_ = 0;
  Duration last_followed_{0};
};

TEST_F(AgreedClockTest, GoesWithTheHostWhereNothingSteps) {
  EXPECT_EQ(clock_.Now(), loop_.Now());
  loop_.Advance(hours(5));
  loop_.Jump(hours(24));  // A suspension: the boot clock counts it.
  EXPECT_EQ(clock_.Now(), loop_.Now());
  EXPECT_EQ(followed_, 0);
}

TEST_F(AgreedClockTest, FollowsNoStepOfTheHostAlone) {
  for (const Duration step : {Duration(hours(1)), Duration(hours(-3)), Duration(seconds(5))}) {
    loop_.StepWall(step);
    loop_.Advance(minutes(10));
    EXPECT_EQ(clock_.Now(), Expected());
    EXPECT_EQ(difference_, loop_.Now() - clock_.Now());
    EXPECT_NE(difference_, Duration(0));
  }
  EXPECT_EQ(followed_, 0);
}

TEST_F(AgreedClockTest, FollowsAStepThatTheReferenceAgreesWith) {
  loop_.StepWall(hours(1));
  loop_.Advance(minutes(1));
  EXPECT_EQ(clock_.Now(), Expected());
  reference_ = loop_.Now() - seconds(1);
  loop_.Advance(seconds(1));
  EXPECT_EQ(clock_.Now(), loop_.Now());
  EXPECT_EQ(followed_, 1);
  EXPECT_EQ(last_followed_, Duration(hours(1)));
  EXPECT_EQ(difference_, Duration(0));
}

TEST_F(AgreedClockTest, AReferenceThatAgreesWithNeitherOrWithUsChangesNothing) {
  loop_.StepWall(hours(1));
  reference_ = loop_.Now() - minutes(30);
  loop_.Advance(seconds(2));
  EXPECT_EQ(clock_.Now(), Expected());
  reference_ = Expected();
  loop_.Advance(seconds(2));
  EXPECT_EQ(clock_.Now(), Expected());
  loop_.StepWall(-hours(1));  // The host comes back.
  loop_.Advance(seconds(1));
  EXPECT_EQ(clock_.Now(), loop_.Now());
  EXPECT_EQ(followed_, 0);
}

TEST_F(AgreedClockTest, ASmallDifferenceIsFollowed) {
  loop_.StepWall(milliseconds(400));
  loop_.Advance(seconds(1));
  EXPECT_EQ(clock_.Now(), loop_.Now());
}

}  // namespace
}  // namespace tokenbroker
