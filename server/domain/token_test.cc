#include "server/domain/token.h"

#include <gtest/gtest.h>

#include <set>

namespace tokenbroker {
namespace {

TEST(TokenTest, StatesHaveOneNameEach) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(TokenState::kAbandoned); ++i) {
    const auto state = static_cast<TokenState>(i);
    names.insert(NameOf(state));
    EXPECT_EQ(ParseTokenState(NameOf(state)), state) << NameOf(state);
  }
  EXPECT_EQ(names, (std::set<std::string_view>{"PENDING", "ACTIVE", "REVOKING", "REVOKED", "EXPIRED", "ABANDONED"}));
  for (const char* bad : {"", "active", "ACTIVE "}) EXPECT_EQ(ParseTokenState(bad), std::nullopt) << bad;
}

TEST(TokenTest, ReasonsHaveOneNameEach) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(RevokeReason::kUpstream); ++i) {
    const auto reason = static_cast<RevokeReason>(i);
    names.insert(NameOf(reason));
    EXPECT_EQ(ParseRevokeReason(NameOf(reason)), reason) << NameOf(reason);
  }
  EXPECT_EQ(names.size(), 11u);
  EXPECT_EQ(NameOf(RevokeReason::kNone), "");
  EXPECT_EQ(ParseRevokeReason("NONE"), std::nullopt);
}

TEST(TokenTest, ClosedStates) {
  for (const TokenState open : {TokenState::kPending, TokenState::kActive, TokenState::kRevoking}) {
    EXPECT_FALSE(IsClosed(open)) << NameOf(open);
  }
  for (const TokenState closed : {TokenState::kRevoked, TokenState::kExpired, TokenState::kAbandoned}) {
    EXPECT_TRUE(IsClosed(closed)) << NameOf(closed);
  }
}

TEST(TokenTest, ResourceNames) {
  const TokenId id = "01kawd6gr0abcdefghjkmnpqrs";
  EXPECT_EQ(ResourceName(id), "tokens/01kawd6gr0abcdefghjkmnpqrs");
  EXPECT_EQ(ParseResourceName(ResourceName(id)), id);
  const std::string short_id = id.substr(1);
  const std::vector<std::string> bad_names = {"",
                                              "tokens/",
                                              id,
                                              "Tokens/" + id,
                                              "tokens/" + id + "x",
                                              "tokens/" + short_id,
                                              "tokens/" + id + "/",
                                              "tokens//" + short_id,
                                              "tokens/01KAWD6GR0ABCDEFGHJKMNPQRS",
                                              "x/tokens/" + id,
                                              "tokens/" + short_id + '\0',
                                              "tokens/" + short_id + "%"};
  for (const std::string& bad : bad_names) {
    EXPECT_EQ(ParseResourceName(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace tokenbroker
