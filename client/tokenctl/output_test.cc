#include "client/tokenctl/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/tokenctl/printable.h"
#include "client/tokenctl/words.h"

namespace tokenbroker::tokenctl {
namespace {

using testing::HasSubstr;

TEST(Printable, LeavesTextAlone) {
  EXPECT_EQ(Printable("Grüße, 東京 \xf0\x9f\x98\x80 \"x\" \\n"), "Grüße, 東京 \xf0\x9f\x98\x80 \"x\" \\n");
  EXPECT_EQ(Printable(""), "");
}

TEST(Printable, ShowsWhatWouldMoveTheCursor) {
  EXPECT_EQ(Printable("a\x1b[2Jb\r\n\tc\x7f"), "a\\u001b[2Jb\\r\\n\\tc\\u007f");
  EXPECT_EQ(Printable(std::string_view("a\0b", 3)), "a\\u0000b");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "2J"),
            "\\u009b2J");
  EXPECT_EQ(Printable("a\u202eb\u2066c\u2028"), "a\\u202eb\\u2066c\\u2028");
}

TEST(Printable, ShowsBytesThatAreNoText) {
  EXPECT_EQ(Printable("a\xff\xc3"), "a\\xff\\xc3");
  EXPECT_EQ(Printable("\xc0\x9b"), "\\xc0\\x9b");                    // Overlong.
  EXPECT_EQ(Printable("\xe0\x80\x9b"), "\\xe0\\x80\\x9b");           // Overlong.
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // A surrogate.
  EXPECT_EQ(Printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // Above U+10FFFF.
}

TEST(FromNow, KeepsTheTwoLargestUnits) {
  const WallTime now = FromMicros(1'764'000'000'000'000);
  EXPECT_EQ(FromNow(now + minutes(60) - seconds(1), now), "in 59m");
  EXPECT_EQ(FromNow(now + minutes(90), now), "in 1h30m");
  EXPECT_EQ(FromNow(now + hours(49) + minutes(59), now), "in 2d1h");
  EXPECT_EQ(FromNow(now + seconds(42), now), "in 42s");
  EXPECT_EQ(FromNow(now - seconds(42), now), "42s ago");
  EXPECT_EQ(FromNow(now - hours(3), now), "3h ago");
}

TEST(Describe, TimesAreRfc3339) {
  google::protobuf::Timestamp time;
  time.set_seconds(1'764'003'600);
  time.set_nanos(250'000'000);
  EXPECT_EQ(Describe(time, true, FromMicros(1'764'000'000'000'000)), "2025-11-24T17:00:00Z (in 1h)");
  EXPECT_EQ(Describe(time, false, FromMicros(0)), "-");
}

TEST(Columns, StandUnderEachOther) {
  EXPECT_EQ(Columns({{"NAME", "X"}, {"ä", "y"}, {"a\nb", "z"}}), "NAME  X\nä     y\na\\nb  z\n");
}

TEST(TokenTable, HasALineForEachToken) {
  v1::Token token;
  token.set_name("tokens/t1");
  token.set_display_name("evil\x1b[31m");
  token.mutable_target()->set_project("acme/payments");
  token.add_scopes("read_api");
  token.add_scopes("read_user");
  token.set_state(v1::TOKEN_STATE_REVOKED);
  token.set_revoke_reason(v1::REVOKE_REASON_TTL);
  EXPECT_EQ(TokenTable({token}, FromMicros(0)),
            "NAME       STATE          TARGET                 SCOPES              EXPIRES  DISPLAY NAME\n"
            "tokens/t1  REVOKED (TTL)  project:acme/payments  read_api,read_user  -        evil\\u001b[31m\n");
  EXPECT_EQ(TokenTable({}, FromMicros(0)), "No tokens.\n");
}

TEST(CallerText, SaysThatThereAreNoGrants) {
  v1::Caller caller;
  caller.set_name("callers/demo");
  EXPECT_THAT(CallerText(caller, FromMicros(0)), HasSubstr("No grants"));
  caller.add_grants()->set_role("reader");
  EXPECT_THAT(CallerText(caller, FromMicros(0)), testing::ContainsRegex("reader .* no +-\n"));
}

TEST(Json, RefusesWhatHasNoJson) {
  v1::Token token;
  token.mutable_expire_time()->set_seconds(1'000'000'000'000);
  EXPECT_TRUE(absl::IsInternal(Json(token).status()));
}

// So that a filter takes them.
TEST(Words, TargetsAreAsAFilterHasThem) {
  v1::Target target;
  target.set_service_account("acme/bots:ci");
  EXPECT_EQ(TargetWord(target), "service_account:acme/bots:ci");
  target.set_instance("main");
  target.set_user("2");
  EXPECT_EQ(TargetWord(target), "main/user:2");
}

TEST(Words, LevelsAreWordsOrNumbers) {
  EXPECT_EQ(ParseAccessLevel("reporter"), 20);
  EXPECT_EQ(ParseAccessLevel("security-manager"), 25);
  EXPECT_EQ(ParseAccessLevel("30"), 30);
  EXPECT_EQ(ParseAccessLevel("Reporter"), std::nullopt);
  EXPECT_EQ(ParseAccessLevel("30x"), std::nullopt);
  EXPECT_EQ(ParseAccessLevel(""), std::nullopt);
  EXPECT_EQ(AccessLevelWord(40), "40 (maintainer)");
  EXPECT_EQ(AccessLevelWord(41), "41");
}

TEST(Words, StatesThatThisBuildDoesNotKnowAreNumbers) {
  v1::Token token;
  token.set_state(static_cast<v1::TokenState>(77));
  token.set_revoke_reason(static_cast<v1::RevokeReason>(78));
  EXPECT_EQ(StateWord(token), "77 (78)");
}

}  // namespace
}  // namespace tokenbroker::tokenctl
