#include "client/retry.h"

#include <gtest/gtest.h>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

constexpr Duration kPlenty = minutes(5);
constexpr Duration kNone = Duration(0);

absl::Status Aborted(Duration retry_after) {
  return Error(absl::StatusCode::kAborted, "CREATE_IN_PROGRESS", "still at it").RetryAfter(retry_after);
}

TEST(NextDelay, GrowsToItsBound) {
  const RetryPolicy policy{10, milliseconds(100), milliseconds(500)};
  const absl::Status down = absl::UnavailableError("down");
  EXPECT_EQ(NextDelay(policy, down, 1, kPlenty, kNone, 0), milliseconds(50));
  EXPECT_EQ(NextDelay(policy, down, 2, kPlenty, kNone, 0), milliseconds(100));
  EXPECT_EQ(NextDelay(policy, down, 3, kPlenty, kNone, 0), milliseconds(200));
  EXPECT_EQ(NextDelay(policy, down, 4, kPlenty, kNone, 0), milliseconds(250));
  EXPECT_EQ(NextDelay(policy, down, 9, kPlenty, kNone, 0), milliseconds(250));
  EXPECT_EQ(NextDelay(policy, down, 9, kPlenty, kNone, 0.5), milliseconds(375));
}

TEST(NextDelay, EndsWithTheAttempts) {
  const RetryPolicy policy;
  EXPECT_TRUE(NextDelay(policy, absl::UnavailableError(""), 4, kPlenty, kNone, 0).has_value());
  EXPECT_FALSE(NextDelay(policy, absl::UnavailableError(""), 5, kPlenty, kNone, 0).has_value());
}

TEST(NextDelay, RepeatsNothingElse) {
  const RetryPolicy policy;
  EXPECT_FALSE(NextDelay(policy, absl::AbortedError("no delay given"), 1, kPlenty, kNone, 0).has_value());
  EXPECT_FALSE(NextDelay(policy, absl::DeadlineExceededError(""), 1, kPlenty, kNone, 0).has_value());
  EXPECT_FALSE(NextDelay(policy, absl::ResourceExhaustedError(""), 1, kPlenty, kNone, 0).has_value());
  EXPECT_FALSE(NextDelay(policy, absl::PermissionDeniedError(""), 1, kPlenty, kNone, 0).has_value());
}

TEST(NextDelay, NeverCutsTheBrokersDelayShort) {
  const RetryPolicy policy;
  EXPECT_EQ(NextDelay(policy, Aborted(seconds(7)), 1, kPlenty, kNone, 0), seconds(7));
  EXPECT_GE(*NextDelay(policy, Aborted(seconds(7)), 1, kPlenty, kNone, 0.99), seconds(7));
  EXPECT_FALSE(NextDelay(policy, Aborted(kPlenty), 1, kPlenty, kNone, 0).has_value());
  EXPECT_FALSE(NextDelay(policy, Aborted(Duration::max()), 1, kPlenty, kNone, 0.9).has_value());
}

TEST(NextDelay, LeavesEnoughForTheAttempt) {
  const RetryPolicy policy;
  EXPECT_TRUE(NextDelay(policy, Aborted(seconds(2)), 1, milliseconds(4001), seconds(2), 0).has_value());
  EXPECT_FALSE(NextDelay(policy, Aborted(seconds(2)), 1, seconds(4), seconds(2), 0).has_value());
}

}  // namespace
}  // namespace tokenbroker
