#include "server/domain/target.h"

#include <gtest/gtest.h>

namespace tokenbroker {
namespace {

TEST(TargetTest, KindsHaveOneNameEach) {
  for (const TargetKind kind :
       {TargetKind::kUser, TargetKind::kProject, TargetKind::kGroup, TargetKind::kServiceAccount}) {
    EXPECT_EQ(ParseTargetKind(NameOf(kind)), kind) << NameOf(kind);
  }
  EXPECT_EQ(NameOf(TargetKind::kServiceAccount), "service_account");
  for (const char* bad : {"", "User", "users", "service-account"}) EXPECT_EQ(ParseTargetKind(bad), std::nullopt) << bad;
}

TEST(TargetTest, DigitsAloneAreAnId) {
  const auto id = [](const char* ref) { return Target{"main", TargetKind::kProject, ref}.id(); };
  EXPECT_EQ(id("42"), 42);
  EXPECT_EQ(id("0"), 0);
  EXPECT_EQ(id("007"), 7);
  EXPECT_EQ(id("9223372036854775807"), 9223372036854775807);
  for (const char* other : {"", "-1", "-0", "+1", " 1", "1 ", "1.0", "0x1", "1e3", "acme/1", "1/2",
                            "9223372036854775808", "99999999999999999999999"}) {
    EXPECT_EQ(id(other), std::nullopt) << other;
  }
}

TEST(TargetTest, Texts) {
  EXPECT_EQ(ToText(Target{"main", TargetKind::kUser, "42"}), "user:42");
  EXPECT_EQ(ToText(Target{"main", TargetKind::kProject, "Acme/pay"}), "project:Acme/pay");
  EXPECT_EQ(ToText(ResolvedTarget{"main", TargetKind::kProject, 7, "acme/Pay"}), "project:acme/Pay");
}

}  // namespace
}  // namespace tokenbroker
