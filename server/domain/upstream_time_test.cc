#include "server/domain/upstream_time.h"

#include <gtest/gtest.h>

namespace tokenbroker {
namespace {

const WallTime kDate(hours(24 * 365 * 56));
const BootTime kReceived(hours(5));
const UpstreamTime kTime{kDate, kReceived};

TEST(UpstreamTimeTest, IsCarriedOnByTheBootClockAlone) {
  EXPECT_EQ(UpstreamNow(kTime, kReceived), kDate);
  EXPECT_EQ(UpstreamNow(kTime, kReceived + hours(3)), kDate + hours(3));
}

TEST(UpstreamTimeTest, ConfirmsForAMinute) {
  EXPECT_EQ(ConfirmingUpstreamNow(kTime, kReceived + minutes(1)), kDate + minutes(1));
  EXPECT_EQ(ConfirmingUpstreamNow(kTime, kReceived + minutes(1) + Duration(1)), std::nullopt);
  EXPECT_EQ(ConfirmingUpstreamNow(std::nullopt, kReceived), std::nullopt);
}

TEST(UpstreamTimeTest, SkewIsKnownToASecond) {
  EXPECT_EQ(UpstreamSkew(kTime, kReceived, kDate), Duration(0));
  EXPECT_EQ(UpstreamSkew(kTime, kReceived, kDate - seconds(1)), Duration(0));
  EXPECT_EQ(UpstreamSkew(kTime, kReceived, kDate + milliseconds(999)), Duration(0));
  EXPECT_EQ(UpstreamSkew(kTime, kReceived + minutes(1), kDate), minutes(1));
  EXPECT_EQ(UpstreamSkew(kTime, kReceived, kDate + hours(1)), -hours(1));
}

}  // namespace
}  // namespace tokenbroker
