#include "server/gitlab/json.h"

#include <gtest/gtest.h>

#include <string>

namespace tokenbroker {
namespace {

// As 18.11.5 answers to a create of a user's token.
constexpr char kMinted18[] =
    R"({"id":34,"name":"tb-1 read","revoked":false,"created_at":"2026-06-17T08:42:29.993Z","description":null,)"
    R"("scopes":["read_api","api"],"user_id":3,"last_used_at":null,"active":true,"granular":false,)"
    R"("expires_at":"2026-06-23","token":"glpat-bzoxCnU6MwABAgMEBQYHCAkKCwwNDg8Q.01.0w0abcdef"})";
// As 17.11.7 answers to a create of a project's.
constexpr char kMinted17[] =
    R"({"id":37,"name":"project","revoked":false,"created_at":"2025-06-17T08:42:32.157Z","description":null,)"
    R"("scopes":["read_api"],"user_id":12,"last_used_at":null,"active":true,"expires_at":"2025-06-23",)"
    R"("access_level":40,"token":"glpat-T9xQ4vLw2ZsD7kBn1Rfy"})";

std::string WithoutSecret(std::string text) {
  const std::size_t at = text.find(",\"token\"");
  return text.substr(0, at) + "}";
}

TEST(JsonTest, ReadsATokenOf18) {
  const std::optional<UpstreamToken> token = ParseToken(WithoutSecret(kMinted18));
  ASSERT_TRUE(token.has_value());
  EXPECT_EQ(token->id, 34);
  EXPECT_EQ(token->user_id, 3);
  EXPECT_EQ(token->name, "tb-1 read");
  EXPECT_EQ(token->scopes, (std::vector<std::string>{"read_api", "api"}));
  EXPECT_FALSE(token->revoked);
  EXPECT_TRUE(token->active);
  EXPECT_EQ(token->access_level, 0);
  EXPECT_EQ(FormatRfc3339(token->created_at), "2026-06-17T08:42:29.993Z");
  EXPECT_EQ(token->expires_at, ParseDate("2026-06-23"));
  EXPECT_FALSE(token->last_used_at.has_value());
}

TEST(JsonTest, ReadsATokenOf17) {
  const std::optional<UpstreamToken> token = ParseToken(WithoutSecret(kMinted17));
  ASSERT_TRUE(token.has_value());
  EXPECT_EQ(token->id, 37);
  EXPECT_EQ(token->user_id, 12);
  EXPECT_EQ(token->access_level, 40);
}

TEST(JsonTest, NullsMeanThatThereIsNone) {
  const std::optional<UpstreamToken> token = ParseToken(
      R"({"id":1,"name":null,"scopes":[],"user_id":2,"revoked":true,"active":false,"access_level":null,)"
      R"("expires_at":null,"last_used_at":"2026-06-17T08:42:29.294Z","created_at":"2026-06-17T08:41:01.787Z"})");
  ASSERT_TRUE(token.has_value());
  EXPECT_EQ(token->name, "");
  EXPECT_TRUE(token->revoked);
  EXPECT_FALSE(token->expires_at.has_value());
  EXPECT_TRUE(token->last_used_at.has_value());
}

TEST(JsonTest, UnknownKeysAndEscapesAreNoTrouble) {
  const std::optional<UpstreamToken> token = ParseToken(
      R"( {"new":{"deep":[1,{"token":"no"}]},"id":5,"n\u0061me":"caf\u00e9 \"x\"","last_used_ips":["::1"]} )");
  ASSERT_TRUE(token.has_value());
  EXPECT_EQ(token->id, 5);
  EXPECT_EQ(token->name, "caf\u00e9 \"x\"");
}

TEST(JsonTest, EveryCutTextIsRefused) {
  const std::string whole = kMinted18;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_FALSE(ParseToken(whole.substr(0, size)).has_value()) << size;
    std::string body = whole.substr(0, size);
    ASSERT_FALSE(ParseMinted(body).has_value()) << size;
    ASSERT_TRUE(body.empty());
  }
}

TEST(JsonTest, WhatIsNotTheShapeIsRefused) {
  for (const char* text : {"",
                           " ",
                           "null",
                           "[]",
                           "1",
                           "\"x\"",
                           "{}",
                           R"({"id":0})",
                           R"({"id":"5"})",
                           R"({"id":null})",
                           R"({"id":1.5})",
                           R"({"id":99999999999999999999})",
                           R"({"id":1,"scopes":"api"})",
                           R"({"id":1,"revoked":"no"})",
                           R"({"id":1} x)",
                           R"({"id":1}{})",
                           R"({"id":1}])",
                           R"({"id":1,})",
                           "{\"id\":1,\"name\":\"\xff\"}",
                           "<html></html>"}) {
    EXPECT_FALSE(ParseToken(text).has_value()) << text;
  }
  EXPECT_FALSE(ParseToken(std::string(100'000, '[')).has_value());
}

TEST(JsonTest, ANumberBelowOneIsNobodys) {
  for (const char* id : {"0", "-7"}) {
    const std::string head = R"({"id":)" + std::string(id);
    std::string minted = head + R"(,"token":"glpat-x"})";
    EXPECT_FALSE(ParseMinted(minted).has_value());
    EXPECT_FALSE(ParseToken(head + R"(,"name":"x"})").has_value());
    EXPECT_FALSE(ParseTokens('[' + head + "}]").has_value());
    EXPECT_FALSE(ParseProject(head + R"(,"path_with_namespace":"a/b"})").has_value());
    EXPECT_FALSE(ParseUser(head + R"(,"username":"x"})").has_value());
  }
}

TEST(JsonTest, ListsAreWholeOrNothing) {
  const std::string one = WithoutSecret(kMinted18);
  const std::string other = WithoutSecret(kMinted17);
  const auto list = ParseTokens("[" + one + "," + other + "]");
  ASSERT_TRUE(list.has_value());
  ASSERT_EQ(list->size(), 2u);
  EXPECT_EQ(list->at(0).id, 34);
  EXPECT_EQ(list->at(1).id, 37);
  const auto empty = ParseTokens("[]");
  ASSERT_TRUE(empty.has_value());
  EXPECT_TRUE(empty->empty());
  for (const std::string& bad : {"[" + one, "[" + one + ",", "[" + one + ",null]", "[" + one + ",{}]", one,
                                 "[" + one + "] [", std::string("null"), std::string()}) {
    EXPECT_FALSE(ParseTokens(bad).has_value()) << bad;
  }
}

TEST(JsonTest, TheSecretIsTakenOutAndTheBufferWiped) {
  std::string body = kMinted18;
  const char* bytes = body.data();
  const std::size_t size = body.size();
  const std::optional<Minted> minted = ParseMinted(body);
  ASSERT_TRUE(minted.has_value());
  EXPECT_EQ(minted->secret.Reveal(), "glpat-bzoxCnU6MwABAgMEBQYHCAkKCwwNDg8Q.01.0w0abcdef");
  EXPECT_EQ(minted->token.id, 34);
  EXPECT_EQ(minted->token.name, "tb-1 read");
  EXPECT_TRUE(body.empty());
  ASSERT_EQ(body.data(), bytes);
  ASSERT_GE(body.capacity(), size);
  body.resize(1);  // The buffer is the string's again; what was behind its end is what Wipe left.
  for (std::size_t i = 1; i < size; ++i) ASSERT_EQ(*const_cast<volatile const char*>(bytes + i), '\0') << i;
}

TEST(JsonTest, AMintWithoutItsSecretIsNone) {
  for (const std::string& text :
       {WithoutSecret(kMinted18), std::string(R"({"id":1,"token":null})"), std::string(R"({"id":1,"token":""})"),
        std::string(R"({"id":1,"token":7})"), std::string(R"({"token":"glpat-x"})"),
        std::string(R"({"id":1,"token":"glpat-x"} trailing)"), std::string(R"({"id":1,"token":"a\"b"})")}) {
    std::string body = text;
    EXPECT_FALSE(ParseMinted(body).has_value()) << text;
    EXPECT_TRUE(body.empty()) << text;
  }
  std::string body = R"({ "token" : "glpat-x" , "id" : 7 })";
  const std::optional<Minted> minted = ParseMinted(body);
  ASSERT_TRUE(minted.has_value());
  EXPECT_EQ(minted->secret.Reveal(), "glpat-x");
}

TEST(JsonTest, ReadsProjectsAndUsers) {
  const auto project =
      ParseProject(R"({"id":2,"name":"example","path_with_namespace":"example/example","owner":null})");
  ASSERT_TRUE(project.has_value());
  EXPECT_EQ(project->id, 2);
  EXPECT_EQ(project->full_path, "example/example");
  EXPECT_FALSE(ParseProject(R"({"id":2})").has_value());
  EXPECT_FALSE(ParseProject(R"({"path_with_namespace":"a/b"})").has_value());

  // A row as a non-administrator of 17.11.7 sees it, and as an administrator does.
  const auto plain = ParseUser(R"({"id":3,"username":"normal-user","name":"N","state":"active","locked":false})");
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->username, "normal-user");
  EXPECT_TRUE(plain->active);
  EXPECT_FALSE(plain->bot);
  EXPECT_FALSE(plain->is_admin);
  const auto full = ParseUser(R"({"id":1,"username":"root","state":"active","bot":true,"is_admin":true,"note":null})");
  ASSERT_TRUE(full.has_value());
  EXPECT_TRUE(full->bot);
  EXPECT_TRUE(full->is_admin);
  EXPECT_FALSE(ParseUser(R"({"id":3,"username":"a","state":"blocked"})")->active);
  EXPECT_FALSE(ParseUser(R"({"id":3,"username":"a","state":"active","locked":true})")->active);
  EXPECT_FALSE(ParseUser(R"({"id":3})").has_value());
  EXPECT_EQ(ParseUsers(R"([{"id":3,"username":"a","state":"active"}])")->size(), 1u);
  EXPECT_TRUE(ParseUsers("[]")->empty());
  EXPECT_FALSE(ParseUsers(R"({"id":3,"username":"a"})").has_value());
}

TEST(JsonTest, TheLongestLifeIsTheLowerOfTwoLimits) {
  const auto days = [](const char* text) {
    const std::optional<UpstreamSettings> settings = ParseSettings(text);
    EXPECT_TRUE(settings.has_value()) << text;
    return settings.has_value() ? settings->max_lifetime_days : std::optional<int>();
  };
  EXPECT_EQ(days(R"({"require_personal_access_token_expiry":true})"), 365);
  EXPECT_EQ(days(R"({"require_personal_access_token_expiry":true,"max_personal_access_token_lifetime":null})"), 365);
  EXPECT_EQ(days(R"({"max_personal_access_token_lifetime":30,"require_personal_access_token_expiry":true})"), 30);
  EXPECT_EQ(days(R"({"max_personal_access_token_lifetime":400,"require_personal_access_token_expiry":true})"), 365);
  EXPECT_EQ(days(R"({"require_personal_access_token_expiry":false})"), std::nullopt);
  EXPECT_EQ(days("{}"), std::nullopt);
  EXPECT_FALSE(ParseSettings("[]").has_value());
  EXPECT_FALSE(ParseSettings(R"({"require_personal_access_token_expiry":true)").has_value());
}

TEST(JsonTest, ReadsTheVersion) {
  EXPECT_EQ(ParseVersion(R"({"version":"18.11.5-ee","revision":"9b638f3c686","kas":{"version":"18.11.5"}})"),
            "18.11.5-ee");
  EXPECT_FALSE(ParseVersion(R"({"kas":{"version":"18.11.5"}})").has_value());
}

TEST(JsonTest, TakesTheBestWordsOfAnError) {
  const auto words = [](const char* text) { return ParseError(text)->words; };
  EXPECT_EQ(words(R"({"message":"404 Project Not Found"})"), "404 Project Not Found");
  EXPECT_EQ(words(R"({"message":{"expires_at":["is too far"]}})"), R"({"expires_at":["is too far"]})");
  EXPECT_EQ(words(R"({"message":["a","b"]})"), R"(["a","b"])");
  EXPECT_EQ(words(R"({"error":"scopes does not have a valid value"})"), "scopes does not have a valid value");
  EXPECT_EQ(words(R"({"error":"e","message":"m"})"), "m");
  EXPECT_EQ(words(R"({"error":"e","error_description":"d","message":"m"})"), "d");
  EXPECT_EQ(words(R"({"error":{"code":1}})"), "");
  EXPECT_TRUE(ParseError(R"({"error":"invalid_token","error_description":"d"})")->invalid_token);
  EXPECT_FALSE(ParseError(R"({"error":"insufficient_scope"})")->invalid_token);
  EXPECT_FALSE(ParseError("Retry later\n").has_value());
  EXPECT_FALSE(ParseError(R"("text")").has_value());
  EXPECT_FALSE(ParseError("").has_value());
}

}  // namespace
}  // namespace tokenbroker
