#include "server/identity/base64url.h"

#include <gtest/gtest.h>

#include "server/identity/strict_json.h"
#include "tests/support/test_issuer.h"

namespace tokenbroker {
namespace {

TEST(Base64UrlTest, TakesWhatIsInItsOneSpelling) {
  EXPECT_EQ(DecodeBase64Url(""), "");
  EXPECT_EQ(DecodeBase64Url("AA"), std::string(1, '\0'));
  EXPECT_EQ(DecodeBase64Url("-_8"), "\xfb\xff");
  EXPECT_EQ(DecodeBase64Url("YWJj"), "abc");
  std::string every;
  for (int each = 0; each < 256; ++each) {
    every += static_cast<char>(each);
    EXPECT_EQ(DecodeBase64Url(EncodeBase64Url(every)), every);
  }
}

TEST(Base64UrlTest, RefusesEveryOtherSpelling) {
  for (const char* bad :
       {"A", "AAAAA", "AA==", "AAA=", "AB", "AAB", "-_9", "YW Jj", "YWJj\n", "YW+j", "YW/j", "YW.j"}) {
    EXPECT_EQ(DecodeBase64Url(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(DecodeBase64Url(std::string_view("YWJj\0", 5)), std::nullopt);
}

TEST(StrictJsonTest, HasOneReading) {
  EXPECT_NE(ParseStrictJson(R"({"a":{"b":[1,true,"]}\""]}})"), nullptr);
  for (const char* bad : {"", "1", "[]", "null", "{", "{}}", "{} {}", R"({"a":1,"a":1})", R"({"b":{"a":1,"a":2}})",
                          R"({"a":"\u0000"})", R"({"\u0000":1})", "{\"a\":\"\xff\"}", R"({"a":18446744073709551616})",
                          R"({"a":1e999})", R"({'a':1})", R"({"a":1,})", R"({"a":0123})", "{\"a\":\"\n\"}"}) {
    EXPECT_EQ(ParseStrictJson(bad), nullptr) << bad;
  }
  const auto nested = [](int depth) { return R"({"a":)" + std::string(depth, '[') + std::string(depth, ']') + "}"; };
  EXPECT_NE(ParseStrictJson(nested(15)), nullptr);
  EXPECT_EQ(ParseStrictJson(nested(16)), nullptr);
  EXPECT_EQ(ParseStrictJson(std::string(1 << 20, '[')), nullptr);
}

}  // namespace
}  // namespace tokenbroker
