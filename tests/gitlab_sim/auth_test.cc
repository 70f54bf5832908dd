// The guard in front of every route, and the order in which GitLab checks.
#include "tests/gitlab_sim/auth.h"

#include "gtest/gtest.h"
#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/test_instance.h"

namespace tokenbroker::gitlab_sim {
namespace {

constexpr const char* kBadCreate = R"({"scopes":["nonsense"],"expires_at":"not a date"})";

TEST(AuthTest, UnknownAndMissingTokensGetTheSameAnswer) {
  TestInstance gitlab;
  for (const char* token : {"", "never-was"}) {
    const HttpResponse response = gitlab.Get("/personal_access_tokens/self", token);
    EXPECT_EQ(response.status, 401);
    EXPECT_EQ(response.body, R"({"message":"401 Unauthorized"})");
    EXPECT_EQ(Header(response, "WWW-Authenticate"), "");
  }
}

TEST(AuthTest, RevokedTokenIsNamedAsSuch) {
  TestInstance gitlab;
  EXPECT_EQ(gitlab.Delete("/personal_access_tokens/self", "dan").status, 204);
  const HttpResponse response = gitlab.Get("/personal_access_tokens/self", "dan");
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(response.body,
            R"({"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the )"
            R"(user."})");
  EXPECT_EQ(Header(response, "WWW-Authenticate"),
            "Bearer realm=\"Protected by OAuth 2.0\", error=\"invalid_token\", error_description=\"Token was revoked. "
            "You have to re-authorize from the user.\"");
}

TEST(AuthTest, TokenDiesAtMidnightUtcOfItsDate) {
  TestInstance gitlab;
  gitlab.AddToken(gitlab.dan, "short", {"api"}, "2026-06-25");
  gitlab.now = *ParseTimestamp("2026-06-24T23:59:59.999Z");
  EXPECT_EQ(gitlab.Get("/personal_access_tokens/self", "short").status, 200);
  gitlab.now = *ParseTimestamp("2026-06-25T00:00:00Z");
  const HttpResponse response = gitlab.Get("/personal_access_tokens/self", "short");
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(Field(response, "error_description"),
            "Token is expired. You can either do re-authorization or token refresh.");
}

TEST(AuthTest, ExpiredIsToldBeforeRevoked) {
  TestInstance gitlab;
  gitlab.AddToken(gitlab.dan, "short", {"api"}, "2026-06-25");
  EXPECT_EQ(gitlab.Delete("/personal_access_tokens/self", "short").status, 204);
  gitlab.now = *ParseTimestamp("2026-06-25T00:00:00Z");
  EXPECT_EQ(Field(gitlab.Get("/user", "short"), "error_description"),
            "Token is expired. You can either do re-authorization or token refresh.");
}

// Credential before scope before administrator before parameters before target.
TEST(AuthTest, OrderOfChecks) {
  TestInstance gitlab;
  gitlab.AddToken(gitlab.root, "admin-reader", {"read_api"});
  const std::string users = "/users/999/personal_access_tokens";
  EXPECT_EQ(gitlab.Post(users, "never-was", kBadCreate).status, 401);
  EXPECT_EQ(Field(gitlab.Post(users, "admin-reader", kBadCreate), "error"), "insufficient_scope");
  EXPECT_EQ(gitlab.Post(users, "dan", kBadCreate).body, R"({"message":"403 Forbidden"})");
  EXPECT_EQ(gitlab.Post(users, "root", kBadCreate).body,
            R"({"error":"name is missing, scopes does not have a valid value, expires_at is invalid"})");
  EXPECT_EQ(gitlab.Post(users, "root", R"({"name":"n","scopes":["api"]})").body, R"({"message":"404 User Not Found"})");
  EXPECT_EQ(gitlab.Post("/projects/none/access_tokens", "never-was", kBadCreate).status, 401);
  EXPECT_EQ(gitlab.Post("/projects/none/access_tokens", "dan", kBadCreate).status, 400);
}

TEST(AuthTest, InsufficientScopeNamesAllScopesOfTheRoute) {
  TestInstance gitlab;
  gitlab.AddToken(gitlab.dan, "git-only", {"read_repository"});
  HttpResponse response = gitlab.Get("/personal_access_tokens", "git-only");
  EXPECT_EQ(response.status, 403);
  EXPECT_EQ(Field(response, "scope"), "api read_api");
  EXPECT_EQ(Header(response, "WWW-Authenticate"), "");
  EXPECT_EQ(Field(gitlab.Get("/user", "git-only"), "scope"), "read_user api read_api");
  EXPECT_EQ(Field(gitlab.Post("/personal_access_tokens/self/rotate", "git-only", "{}"), "scope"), "api self_rotate");
  EXPECT_EQ(gitlab.Get("/personal_access_tokens/self", "git-only").status, 200) << "self takes any scope";
}

TEST(AuthTest, ReadScopesDoNotWrite) {
  TestInstance gitlab;
  const int64_t id = gitlab.AddToken(gitlab.dan, "reader", {"read_api", "self_rotate", "read_user"});
  EXPECT_EQ(gitlab.Get("/personal_access_tokens/" + std::to_string(id), "reader").status, 200);
  EXPECT_EQ(gitlab.Delete("/personal_access_tokens/" + std::to_string(id), "reader").status, 403);
  EXPECT_EQ(gitlab.Post("/personal_access_tokens/self/rotate", "reader", "{}").status, 200);
}

TEST(AuthTest, BlockedOwnerIsForbidden) {
  TestInstance gitlab;
  gitlab.model.state().FindUser(gitlab.dan)->blocked = true;
  const HttpResponse response = gitlab.Get("/user", "dan");
  EXPECT_EQ(response.status, 403);
  EXPECT_EQ(Field(response, "message"), "403 Forbidden - Your account has been blocked.");
}

TEST(AuthTest, AdminModeDemandsItsScope) {
  TestInstance gitlab;
  gitlab.AddToken(gitlab.root, "root-admin-mode", {"api", "admin_mode"});
  gitlab.model.state().settings().admin_mode = true;
  EXPECT_EQ(gitlab.Get("/application/settings", "root").status, 403);
  EXPECT_EQ(gitlab.Get("/application/settings", "root-admin-mode").status, 200);
  // The list shrinks to one's own without a word.
  EXPECT_EQ(Header(gitlab.Get("/personal_access_tokens", "root"), "X-Total"), "2");
  EXPECT_EQ(Header(gitlab.Get("/personal_access_tokens", "root-admin-mode"), "X-Total"), "6");
}

TEST(AuthTest, WaysToPassAToken) {
  TestInstance gitlab;
  HttpRequest request{.method = "GET", .target = "/api/v4/user"};
  request.headers = {{"Authorization", "Bearer dan"}};
  EXPECT_EQ(gitlab.model.Handle(request).status, 200);
  request.headers = {{"private-token", "dan"}};
  EXPECT_EQ(gitlab.model.Handle(request).status, 200) << "names of headers are not case-sensitive";
  request.headers.clear();
  request.target = "/api/v4/user?private_token=dan";
  EXPECT_EQ(gitlab.model.Handle(request).status, 200);
}

TEST(AuthTest, LastUsedMovesEveryTenMinutes) {
  TestInstance gitlab;
  const auto last_used = [&] { return Field(gitlab.Get("/personal_access_tokens/self", "dan"), "last_used_at"); };
  EXPECT_EQ(last_used(), "2026-06-24T12:00:00.000Z") << "the first use is written at once";
  gitlab.now += std::chrono::minutes(9);
  EXPECT_EQ(last_used(), "2026-06-24T12:00:00.000Z");
  gitlab.now += std::chrono::minutes(1);
  EXPECT_EQ(last_used(), "2026-06-24T12:10:00.000Z");
}

// A revoked token on a rotate path is taken for stolen: its living descendants die.
TEST(ReuseDetectionTest, RetriedSelfRotateLocksOut) {
  TestInstance gitlab;
  const std::string second = Field(gitlab.Post("/personal_access_tokens/self/rotate", "dan", "{}"), "token");
  const std::string third = Field(gitlab.Post("/personal_access_tokens/self/rotate", second, "{}"), "token");
  EXPECT_EQ(gitlab.Get("/user", third).status, 200);
  EXPECT_EQ(Field(gitlab.Post("/personal_access_tokens/self/rotate", "dan", "{}"), "error"), "invalid_token");
  EXPECT_EQ(Field(gitlab.Get("/user", third), "error"), "invalid_token");
}

TEST(ReuseDetectionTest, OtherPathsAndOtherCredentialsSpareTheFamily) {
  TestInstance gitlab;
  const std::string old_id = Field(gitlab.Get("/personal_access_tokens/self", "dan"), "id");
  const std::string next = Field(gitlab.Post("/personal_access_tokens/self/rotate", "dan", "{}"), "token");
  EXPECT_EQ(gitlab.Get("/user", "dan").status, 401);
  const HttpResponse by_admin = gitlab.Post("/personal_access_tokens/" + old_id + "/rotate", "root", "{}");
  EXPECT_EQ(by_admin.status, 400);
  EXPECT_EQ(Field(by_admin, "message"), "400 Bad request - Token already revoked");
  EXPECT_EQ(gitlab.Get("/user", next).status, 200);
}

TEST(ReuseDetectionTest, RotatePathsOfProjectsTriggerToo) {
  TestInstance gitlab;
  const std::string next = Field(gitlab.Post("/personal_access_tokens/self/rotate", "dan", "{}"), "token");
  EXPECT_EQ(gitlab.Post("/projects/1/access_tokens/77/rotate", "dan", "{}").status, 401);
  EXPECT_EQ(gitlab.Get("/user", next).status, 401);
}

TEST(ModelTest, CommonHeaders) {
  TestInstance gitlab;
  const HttpResponse ok = gitlab.Get("/user", "dan");
  EXPECT_EQ(Header(ok, "Date"), "Wed, 24 Jun 2026 12:00:00 GMT");
  EXPECT_EQ(Header(ok, "Cache-Control"), "max-age=0, private, must-revalidate");
  EXPECT_EQ(Header(ok, "Etag").substr(0, 3), "W/\"");
  EXPECT_EQ(Header(ok, "X-Request-Id").size(), 26U);
  EXPECT_EQ(Header(ok, "X-Gitlab-Meta"), R"({"correlation_id":")" + Header(ok, "X-Request-Id") + R"(","version":"1"})");
  const HttpResponse gone = gitlab.Delete("/personal_access_tokens/self", "zoe");
  EXPECT_EQ(gone.status, 204);
  EXPECT_EQ(gone.body, "");
  EXPECT_EQ(Header(gone, "Content-Type"), "");
  EXPECT_EQ(Header(gone, "Etag"), "");
  EXPECT_EQ(Header(gone, "Cache-Control"), "no-cache");
  EXPECT_NE(Header(gone, "X-Gitlab-Meta"), "");
}

TEST(ModelTest, UnknownRoutesAreRemembered) {
  TestInstance gitlab;
  EXPECT_EQ(gitlab.Get("/projects/1/issues", "dan").status, 501);
  EXPECT_EQ(gitlab.Call("PATCH", "/personal_access_tokens/1", "dan").status, 405);
  EXPECT_EQ(gitlab.model.unknown_routes(), std::vector<std::string>{"GET /api/v4/projects/1/issues"});
}

TEST(ModelTest, ReadOnlyInstanceRefusesWritesInTwoWays) {
  TestInstance gitlab;
  gitlab.model.state().settings().read_only = true;
  EXPECT_EQ(gitlab.Post("/users/1/personal_access_tokens", "root", "{}").status, 403);
  EXPECT_EQ(gitlab.Delete("/personal_access_tokens/1", "root").status, 301);
  EXPECT_EQ(gitlab.Get("/user", "dan").status, 200);
}

TEST(ModelTest, RateLimitHeadersOnDemand) {
  TestInstance gitlab;
  EXPECT_EQ(Header(gitlab.Get("/user", "dan"), "RateLimit-Limit"), "");
  gitlab.model.state().settings().rate_limit_headers = true;
  EXPECT_EQ(Header(gitlab.Get("/user", "dan"), "RateLimit-Remaining"), "1999");
  EXPECT_EQ(Header(gitlab.Get("/user", "dan"), "RateLimit-Remaining"), "1998");
  EXPECT_EQ(Header(gitlab.Get("/user", "never-was"), "RateLimit-Name"), "throttle_unauthenticated_api");
}

}  // namespace
}  // namespace tokenbroker::gitlab_sim
