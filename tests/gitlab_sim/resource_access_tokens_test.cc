#include "gtest/gtest.h"
#include "tests/gitlab_sim/test_instance.h"

namespace tokenbroker::gitlab_sim {
namespace {

constexpr const char* kProjectTokens = "/projects/acme%2Fpayments/access_tokens";
constexpr const char* kGroupTokens = "/groups/acme/access_tokens";

std::string Body(const std::string& name, int level = 30) {
  return R"({"name":")" + name + R"(","scopes":["read_api"],"expires_at":"2026-06-26","access_level":)" +
         std::to_string(level) + "}";
}

TEST(ResourceAccessTokensTest, ProjectTokenComesWithItsBot) {
  TestInstance gitlab;
  const HttpResponse made = gitlab.Post(kProjectTokens, "maria", Body("deploy"));
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(Field(made, "access_level"), "30");
  EXPECT_EQ(Field(made, "resource_type"), "project");
  EXPECT_EQ(Field(made, "resource_id"), std::to_string(gitlab.project));
  const HttpResponse bot = gitlab.Get("/users/" + Field(made, "user_id"), "root");
  EXPECT_EQ(Field(bot, "bot"), "true");
  EXPECT_EQ(Field(bot, "username").substr(0, 14), "project_1_bot_");
  EXPECT_EQ(Field(bot, "username").size(), 14U + 32U);
  EXPECT_EQ(Field(gitlab.Get(kProjectTokens, "maria"), "0/name"), "deploy");
  EXPECT_EQ(Field(gitlab.Get("/personal_access_tokens/self", Field(made, "token")), "name"), "deploy");
}

TEST(ResourceAccessTokensTest, EveryTokenHasABotOfItsOwn) {
  TestInstance gitlab;
  EXPECT_NE(Field(gitlab.Post(kGroupTokens, "olga", Body("a")), "user_id"),
            Field(gitlab.Post(kGroupTokens, "olga", Body("a")), "user_id"));
}

TEST(ResourceAccessTokensTest, DefaultsToMaintainer) {
  TestInstance gitlab;
  EXPECT_EQ(Field(gitlab.Post(kProjectTokens, "maria", R"({"name":"n","scopes":["api"],"expires_at":"2026-07-01"})"),
                  "access_level"),
            "40");
}

TEST(ResourceAccessTokensTest, WhoMayCreate) {
  TestInstance gitlab;
  const HttpResponse dan = gitlab.Post(kProjectTokens, "dan", Body("n", 10));
  EXPECT_EQ(dan.status, 400);
  EXPECT_EQ(Field(dan, "message"), "400 Bad request - User does not have permission to create project access token");
  EXPECT_EQ(gitlab.Post(kProjectTokens, "zoe", Body("n")).body, R"({"message":"404 Project Not Found"})");
  EXPECT_EQ(Field(gitlab.Post(kProjectTokens, "maria", Body("n", 50)), "message"),
            "400 Bad request - Access level of the token contains permissions not held by the creating user");
  EXPECT_EQ(gitlab.Post(kProjectTokens, "olga", Body("n", 50)).status, 201) << "Owner by the group";
  EXPECT_EQ(gitlab.Post(kGroupTokens, "maria", Body("n")).status, 400) << "sees the group, owns nothing";
  EXPECT_EQ(gitlab.Post(kProjectTokens, "root", Body("n", 50)).status, 201);
}

TEST(ResourceAccessTokensTest, ABotMakesNoBots) {
  TestInstance gitlab;
  const std::string bot =
      Field(gitlab.Post(kProjectTokens, "olga", R"({"name":"b","scopes":["api"],"expires_at":"2026-07-01"})"), "token");
  EXPECT_EQ(gitlab.Post(kProjectTokens, bot, Body("n", 10)).status, 400);
  EXPECT_EQ(Header(gitlab.Get(kProjectTokens, bot), "X-Total"), "1") << "but it reads its siblings";
  const std::string own = std::string(kProjectTokens) + "/" + Field(gitlab.Get(kProjectTokens, bot), "0/id");
  EXPECT_EQ(gitlab.Post(own + "/rotate", bot, "{}").status, 401) << "by id it may not even rotate itself";
  const HttpResponse rotated = gitlab.Post(std::string(kProjectTokens) + "/self/rotate", bot, "{}");
  EXPECT_EQ(rotated.status, 200);
  EXPECT_EQ(Field(rotated, "access_level"), "40");
  EXPECT_EQ(gitlab.Post(std::string(kProjectTokens) + "/self/rotate", "maria", "{}").status, 405);
}

TEST(ResourceAccessTokensTest, Parameters) {
  TestInstance gitlab;
  EXPECT_EQ(gitlab.Post(kProjectTokens, "maria", R"({"expires_at":"2026-07-01"})").body,
            R"({"error":"name is missing, scopes is missing"})");
  EXPECT_EQ(
      gitlab.Post(kProjectTokens, "maria", R"({"name":"n","scopes":["read_user"],"expires_at":"2026-07-01"})").body,
      R"({"error":"scopes does not have a valid value"})");
  EXPECT_EQ(gitlab.Post(kProjectTokens, "maria", Body("n", 5)).body,
            R"({"error":"access_level does not have a valid value"})");
  EXPECT_EQ(gitlab.Post(kProjectTokens, "maria", R"({"name":"n","scopes":"api","expires_at":"2026-07-01"})").body,
            R"({"error":"scopes is invalid"})")
      << "no comma-separated text here";
  EXPECT_EQ(Field(gitlab.Post(kProjectTokens, "maria", R"({"name":"n","scopes":["api"],"expires_at":"2028-01-01"})"),
                  "message"),
            "400 Bad request - Expires at must be before 2027-06-24");
}

TEST(ResourceAccessTokensTest, DateWasRequiredUpTo186) {
  TestInstance older("17.11.7");
  EXPECT_EQ(older.Post(kProjectTokens, "maria", R"({"name":"n","scopes":["api"]})").body,
            R"({"error":"expires_at is missing"})");
  TestInstance newer("19.0.2");
  EXPECT_EQ(newer.Post(kProjectTokens, "maria", R"({"name":"n","scopes":["api"]})").status, 400);
  newer.model.state().settings().require_expiry = false;
  EXPECT_EQ(Field(newer.Post(kProjectTokens, "maria", R"({"name":"n","scopes":["api"]})"), "expires_at"), "null");
}

TEST(ResourceAccessTokensTest, TheNameIsAUserNameToo) {
  TestInstance gitlab;
  const auto message = [&](const std::string& name) {
    return Field(gitlab.Post(kProjectTokens, "maria", Body(name)), "message");
  };
  EXPECT_EQ(gitlab.Post(kProjectTokens, "maria", Body(std::string(127, 'a') + " " + std::string(127, 'b'))).status,
            201);
  EXPECT_EQ(message(std::string(128, 'a')), "400 Bad request - First name is too long (maximum is 127 characters)");
  EXPECT_EQ(message("a " + std::string(128, 'b')),
            "400 Bad request - Last name is too long (maximum is 127 characters)");
  EXPECT_EQ(message(std::string(120, 'a') + " " + std::string(120, 'b') + " " + std::string(20, 'c')),
            "400 Bad request - Name is too long (maximum is 255 characters) and Last name is too long (maximum is 127 "
            "characters)");
}

TEST(ResourceAccessTokensTest, RevokeAndItsRefusals) {
  TestInstance gitlab;
  const HttpResponse made = gitlab.Post(kProjectTokens, "maria", Body("deploy"));
  const std::string path = std::string(kProjectTokens) + "/" + Field(made, "id");
  const HttpResponse dan = gitlab.Delete(path, "dan");
  EXPECT_EQ(dan.status, 400);
  EXPECT_EQ(Field(dan, "message"), "400 Bad request - dan cannot delete deploy");
  EXPECT_EQ(gitlab.Get(path, "dan").status, 401);
  EXPECT_EQ(gitlab.Delete(path, "zoe").status, 404);
  EXPECT_EQ(gitlab.Delete(path, "maria").status, 204);
  EXPECT_EQ(gitlab.Delete(path, "maria").status, 204) << "again: still there, revoked";
  EXPECT_EQ(Field(gitlab.Get(path, "maria"), "revoked"), "true");
  for (const char* absent : {"/999", "/abc"}) {
    EXPECT_EQ(gitlab.Delete(kProjectTokens + std::string(absent), "maria").body,
              R"({"message":"404 project Access Token Not Found"})");
  }
  EXPECT_EQ(gitlab.Delete("/groups/acme/access_tokens/999", "olga").body,
            R"({"message":"404 group Access Token Not Found"})");
  EXPECT_EQ(gitlab.Delete("/groups/none/access_tokens/999", "olga").body, R"({"message":"404 Group Not Found"})");
}

TEST(ResourceAccessTokensTest, AnotherResourcesTokenIsAbsent) {
  TestInstance gitlab;
  const std::string id = Field(gitlab.Post(kGroupTokens, "olga", Body("g")), "id");
  EXPECT_EQ(gitlab.Delete(std::string(kProjectTokens) + "/" + id, "olga").status, 404);
  EXPECT_EQ(gitlab.Delete(std::string(kGroupTokens) + "/" + id, "olga").status, 204);
}

TEST(ResourceAccessTokensTest, ABotThatIsNoMemberVanishesWithALiveToken) {
  TestInstance gitlab;
  const HttpResponse made = gitlab.Post(kProjectTokens, "maria", Body("deploy"));
  gitlab.model.state().RemoveMember({ResourceKind::kProject, gitlab.project}, std::stoll(Field(made, "user_id")));
  EXPECT_EQ(gitlab.Get(kProjectTokens, "maria").body, "[]");
  EXPECT_EQ(gitlab.Delete(std::string(kProjectTokens) + "/" + Field(made, "id"), "maria").status, 404);
  EXPECT_EQ(gitlab.Get("/personal_access_tokens/self", Field(made, "token")).status, 200);
  EXPECT_EQ(gitlab.Delete("/personal_access_tokens/" + Field(made, "id"), "root").status, 204);
  EXPECT_EQ(gitlab.Get("/personal_access_tokens/self", Field(made, "token")).status, 401);
}

TEST(ResourceAccessTokensTest, RotateById) {
  TestInstance gitlab;
  const HttpResponse made = gitlab.Post(kProjectTokens, "olga", Body("deploy", 50));
  const std::string path = std::string(kProjectTokens) + "/" + Field(made, "id") + "/rotate";
  EXPECT_EQ(Field(gitlab.Post(path, "maria", "{}"), "message"),
            "400 Bad request - Not eligible to rotate tokens with permissions not held by the user");
  const HttpResponse next = gitlab.Post(path, "olga", R"({"expires_at":"2026-08-01"})");
  EXPECT_EQ(next.status, 200);
  EXPECT_EQ(Field(next, "user_id"), Field(made, "user_id"));
  EXPECT_EQ(Field(next, "expires_at"), "2026-08-01");
  EXPECT_EQ(gitlab.Post(std::string(kProjectTokens) + "/abc/rotate", "maria", "{}").status, 401);
  EXPECT_EQ(gitlab.Post(std::string(kProjectTokens) + "/abc/rotate", "root", "{}").status, 404);
}

TEST(ServiceAccountsTest, AccountsAndTheirTokens) {
  TestInstance gitlab;
  const HttpResponse account = gitlab.Post("/groups/acme/service_accounts", "root", "{}");
  EXPECT_EQ(account.status, 201);
  EXPECT_EQ(Field(account, "username").substr(0, 24), "service_account_group_1_");
  const std::string tokens = "/groups/acme/service_accounts/" + Field(account, "id") + "/personal_access_tokens";
  const HttpResponse made = gitlab.Post(tokens, "olga", R"({"name":"n","scopes":["api"],"expires_at":"2026-07-01"})");
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(gitlab.Post(tokens, "zoe", R"({"name":"n","scopes":["api"]})").status, 404);
  EXPECT_EQ(gitlab.Post("/projects/1/service_accounts", "dan", "{}").body, R"({"message":"403 Forbidden"})");
  EXPECT_EQ(gitlab.Post("/groups/acme/service_accounts", "olga", "{}").status, 400) << "an Owner may not create";
  EXPECT_EQ(gitlab.Post("/service_accounts", "olga", "{}").status, 403);
  EXPECT_EQ(
      gitlab.Get("/groups/acme/service_accounts/" + std::to_string(gitlab.dan) + "/personal_access_tokens", "olga")
          .body,
      R"({"message":"404 User Not Found"})");
  EXPECT_EQ(gitlab.Delete(tokens + "/" + Field(made, "id"), "olga").status, 204);
  EXPECT_EQ(gitlab.Delete(tokens + "/999", "olga").body, R"({"message":"404 Personal Access Token Not Found"})");
  EXPECT_EQ(gitlab.Delete("/users/" + Field(account, "id"), "root").status, 204);
  EXPECT_EQ(gitlab.Get("/users?username=" + Field(account, "username"), "root").body, "[]");
}

}  // namespace
}  // namespace tokenbroker::gitlab_sim
