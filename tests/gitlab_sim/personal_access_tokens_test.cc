#include "gtest/gtest.h"
#include "tests/gitlab_sim/test_instance.h"

namespace tokenbroker::gitlab_sim {
namespace {

std::string UserTokens(int64_t user_id) { return "/users/" + std::to_string(user_id) + "/personal_access_tokens"; }

constexpr const char* kCreate =
    R"({"name":"ci [tb:q:1]","scopes":["read_user","read_repository"],"expires_at":"2026-06-26"})";

TEST(PersonalAccessTokensTest, CreatedObject) {
  TestInstance gitlab;
  const HttpResponse response = gitlab.Post(UserTokens(gitlab.dan), "root", kCreate);
  EXPECT_EQ(response.status, 201);
  const std::string secret = Field(response, "token");
  EXPECT_EQ(secret.size(), 51U);
  EXPECT_EQ(response.body,
            R"({"id":6,"name":"ci [tb:q:1]","revoked":false,"created_at":"2026-06-24T12:00:00.000Z",)"
            R"("description":null,"scopes":["read_user","read_repository"],"user_id":3,"last_used_at":null,)"
            R"("active":true,"granular":false,"expires_at":"2026-06-26","token":")" +
                secret + "\"}");
  EXPECT_EQ(Field(gitlab.Get("/personal_access_tokens/self", secret), "last_used_ips/0"), "127.0.0.1");
}

TEST(PersonalAccessTokensTest, OlderVersionHasFewerFieldsAndShorterTokens) {
  TestInstance gitlab("17.11.7");
  const HttpResponse response = gitlab.Post(UserTokens(gitlab.dan), "root", kCreate);
  EXPECT_EQ(Field(response, "token").size(), 26U);
  EXPECT_EQ(Field(response, "granular"), "");
  EXPECT_EQ(Field(gitlab.Get("/personal_access_tokens/self", "dan"), "last_used_ips"), "");
}

TEST(PersonalAccessTokensTest, ExpiryBounds) {
  TestInstance gitlab;
  const auto create = [&](const std::string& date) {
    return gitlab.Post(UserTokens(gitlab.dan), "root",
                       R"({"name":"n","scopes":["api"],"expires_at":")" + date + R"("})");
  };
  EXPECT_EQ(create("2027-06-24").status, 201) << "today and a year";
  const HttpResponse late = create("2027-06-25");
  EXPECT_EQ(late.status, 422);
  EXPECT_EQ(late.body, R"({"message":"Expires at must be before 2027-06-24"})");
  const HttpResponse today = create("2026-06-24");
  EXPECT_EQ(today.status, 201) << "born dead, not refused";
  EXPECT_EQ(Field(today, "active"), "false");
  EXPECT_EQ(gitlab.Get("/user", Field(today, "token")).status, 401);
  EXPECT_EQ(Field(create("2026-07-01T23:00:00Z"), "expires_at"), "2026-07-01");
  EXPECT_EQ(Field(create(""), "expires_at"), "2027-06-24") << "left out: the latest";
  gitlab.model.state().settings().require_expiry = false;
  EXPECT_EQ(Field(create(""), "expires_at"), "null");
}

TEST(PersonalAccessTokensTest, ProblemsAreOneSentence) {
  TestInstance gitlab;
  const HttpResponse response =
      gitlab.Post(UserTokens(gitlab.dan), "root", R"({"name":" ","scopes":[],"expires_at":"2028-01-01"})");
  EXPECT_EQ(response.status, 422);
  EXPECT_EQ(Field(response, "message"),
            "Name can't be blank, Scopes can't be blank, and Expires at must be before 2027-06-24");
}

TEST(PersonalAccessTokensTest, ScopesMayBeAnAdministratorsAndCommaSeparated) {
  TestInstance gitlab;
  EXPECT_EQ(gitlab.Post(UserTokens(gitlab.dan), "root", R"({"name":"n","scopes":"sudo,admin_mode"})").status, 201);
  EXPECT_EQ(gitlab.Post(UserTokens(gitlab.dan), "root", R"({"name":"n","scopes":["openid"]})").body,
            R"({"error":"scopes does not have a valid value"})");
}

TEST(PersonalAccessTokensTest, SelfCreateCannotWiden) {
  TestInstance gitlab;
  EXPECT_EQ(gitlab.Post("/user/personal_access_tokens", "dan", R"({"name":"n","scopes":["api"]})").status, 400);
  EXPECT_EQ(gitlab.Post("/user/personal_access_tokens", "dan", R"({"name":"n","scopes":["k8s_proxy"]})").status, 201);
}

TEST(PersonalAccessTokensTest, YouMayNotDiffersPerVerb) {
  TestInstance gitlab;
  const std::string other = "/personal_access_tokens/1";  // root's
  EXPECT_EQ(gitlab.Get(other, "dan").body, R"({"message":"401 Unauthorized"})");
  EXPECT_EQ(gitlab.Post(other + "/rotate", "dan", "{}").status, 401);
  EXPECT_EQ(gitlab.Delete(other, "dan").body, R"({"message":"400 Bad request"})");
  const std::string absent = "/personal_access_tokens/999";
  EXPECT_EQ(gitlab.Get(absent, "dan").status, 401);
  EXPECT_EQ(gitlab.Delete(absent, "dan").body, R"({"message":"404 Not found"})");
  EXPECT_EQ(gitlab.Get(absent, "root").body, R"({"message":"404 Not Found"})");
  EXPECT_EQ(gitlab.Post(absent + "/rotate", "root", "{}").body, R"({"message":"404 Not Found"})");
  EXPECT_EQ(gitlab.Delete(absent, "root").body, R"({"message":"404 Not found"})");
}

TEST(PersonalAccessTokensTest, RevokingTwiceIsFine) {
  TestInstance gitlab;
  EXPECT_EQ(gitlab.Delete("/personal_access_tokens/3", "root").status, 204);
  EXPECT_EQ(gitlab.Delete("/personal_access_tokens/3", "root").status, 204);
  EXPECT_EQ(Field(gitlab.Get("/personal_access_tokens/3", "root"), "revoked"), "true");
}

TEST(PersonalAccessTokensTest, RotateKeepsEverythingButIdSecretAndDate) {
  TestInstance gitlab;
  const HttpResponse first = gitlab.Post(UserTokens(gitlab.dan), "root", kCreate);
  const std::string path = "/personal_access_tokens/" + Field(first, "id");
  const HttpResponse second = gitlab.Post(path + "/rotate", "root", "{}");
  EXPECT_EQ(second.status, 200);
  EXPECT_NE(Field(second, "id"), Field(first, "id"));
  EXPECT_NE(Field(second, "token"), Field(first, "token"));
  EXPECT_EQ(Field(second, "name"), "ci [tb:q:1]");
  EXPECT_EQ(Field(second, "scopes"), R"(["read_user","read_repository"])");
  EXPECT_EQ(Field(second, "expires_at"), "2026-07-01") << "a week, where nothing is asked for";
  EXPECT_EQ(Field(gitlab.Get(path, "root"), "revoked"), "true");
}

TEST(PersonalAccessTokensTest, RefusedRotateLeavesTheOldTokenAlive) {
  TestInstance gitlab;
  const HttpResponse response =
      gitlab.Post("/personal_access_tokens/self/rotate", "dan", R"({"expires_at":"2028-01-01"})");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(Field(response, "message"), "400 Bad request - Expires at must be before 2027-06-24");
  EXPECT_EQ(gitlab.Get("/user", "dan").status, 200);
}

TEST(PersonalAccessTokensTest, ServerMayGrantLess) {
  TestInstance gitlab;
  gitlab.model.state().settings().shorten_expiry_days = 1;
  EXPECT_EQ(Field(gitlab.Post(UserTokens(gitlab.dan), "root", kCreate), "expires_at"), "2026-06-25");
}

TEST(ImpersonationTokensTest, OnlyAdministratorsSeeThem) {
  TestInstance gitlab;
  const std::string base = "/users/" + std::to_string(gitlab.dan) + "/impersonation_tokens";
  const HttpResponse made = gitlab.Post(base, "root", R"({"name":"as dan","scopes":["api"]})");
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(Field(made, "impersonation"), "true");
  EXPECT_EQ(gitlab.Post(base, "dan", R"({"name":"x"})").status, 403);
  EXPECT_EQ(Header(gitlab.Get("/personal_access_tokens", "dan"), "X-Total"), "1");
  EXPECT_EQ(Header(gitlab.Get("/personal_access_tokens", "root"), "X-Total"), "6");
  EXPECT_EQ(gitlab.Post(base, "root", R"({"name":"x","expires_at":"2028-01-01"})").body,
            R"({"message":{"expires_at":["must be before 2027-06-24"]}})");
  EXPECT_EQ(gitlab.Get(base + "/999", "root").body, R"({"message":"404 Impersonation Token Not Found"})");
  gitlab.model.state().settings().impersonation_enabled = false;
  EXPECT_EQ(Field(gitlab.Get("/user", Field(made, "token")), "error_description"),
            "Token is an impersonation token but impersonation was disabled.");
}

}  // namespace
}  // namespace tokenbroker::gitlab_sim
