#include "server/base/error.h"

#include <gtest/gtest.h>

namespace tokenbroker {
namespace {

absl::StatusOr<int> Fails() {
  return Error(absl::StatusCode::kAborted, "CREATE_IN_PROGRESS", "wait")
      .RetryAfter(seconds(3))
      .Meta("token", "tokens/x");
}

TEST(ErrorTest, CarriesWhatWasAttached) {
  const absl::Status status = Fails().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(status), "CREATE_IN_PROGRESS");
  EXPECT_EQ(RetryAfterOf(status), seconds(3));
  const std::vector<std::pair<std::string, std::string>> meta = {{"token", "tokens/x"}};
  EXPECT_EQ(MetaOf(status), meta);
  EXPECT_TRUE(FieldsOf(status).empty());
  EXPECT_FALSE(PreconditionOf(status).has_value());
}

TEST(ErrorTest, FieldsKeepTheirOrder) {
  Error error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID", "no");
  for (int i = 0; i < 12; ++i) {
    Error more = std::move(error).Field("f" + std::to_string(i), "is wrong");
    error = std::move(more);
  }
  const absl::Status status = std::move(error);
  const std::vector<FieldViolation> fields = FieldsOf(status);
  ASSERT_EQ(fields.size(), 12u);
  for (int i = 0; i < 12; ++i) EXPECT_EQ(fields[static_cast<std::size_t>(i)].field, "f" + std::to_string(i));
}

TEST(ErrorTest, APlainStatusHasNothing) {
  EXPECT_EQ(ReasonOf(absl::OkStatus()), "");
  EXPECT_EQ(ReasonOf(absl::NotFoundError("x")), "");
  EXPECT_FALSE(RetryAfterOf(absl::NotFoundError("x")).has_value());
}

TEST(ErrorTest, KeepsAQuotaApartFromAPrecondition) {
  const absl::Status status =
      Error(absl::StatusCode::kResourceExhausted, "QUOTA_EXCEEDED", "full").Quota("callers/ci", "2 of 2 places");
  ASSERT_TRUE(QuotaOf(status).has_value());
  EXPECT_EQ(QuotaOf(status)->subject, "callers/ci");
  EXPECT_EQ(QuotaOf(status)->description, "2 of 2 places");
  EXPECT_FALSE(PreconditionOf(status).has_value());
}

TEST(ErrorTest, DelaysAreNeverNegative) {
  const absl::Status status = Error(absl::StatusCode::kUnavailable, "X", "x").RetryAfter(-seconds(5));
  EXPECT_EQ(RetryAfterOf(status), seconds(0));
}

}  // namespace
}  // namespace tokenbroker
