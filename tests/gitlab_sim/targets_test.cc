// Projects, groups and users: how they are found and who sees them.
#include "tests/gitlab_sim/targets.h"

#include "gtest/gtest.h"
#include "tests/gitlab_sim/test_instance.h"

namespace tokenbroker::gitlab_sim {
namespace {

TEST(TargetsTest, ByIdAndByPathInAnyCase) {
  TestInstance gitlab;
  for (const char* path : {"/projects/1", "/projects/acme%2Fpayments", "/projects/ACME%2fPayments"}) {
    const HttpResponse response = gitlab.Get(path, "dan");
    EXPECT_EQ(response.status, 200) << path;
    EXPECT_EQ(Field(response, "path_with_namespace"), "acme/payments");
    EXPECT_EQ(Field(response, "permissions/project_access/access_level"), "30");
    EXPECT_EQ(Field(response, "permissions/group_access"), "null");
  }
  EXPECT_EQ(Field(gitlab.Get("/projects/1", "olga"), "permissions/group_access/access_level"), "50");
  EXPECT_EQ(Field(gitlab.Get("/groups/ACME", "olga"), "full_path"), "acme");
}

TEST(TargetsTest, AbsentAndInvisibleLookTheSame) {
  TestInstance gitlab;
  for (const char* path : {"/projects/1", "/projects/acme%2Fpayments", "/projects/999", "/projects/acme"}) {
    EXPECT_EQ(gitlab.Get(path, "zoe").body, R"({"message":"404 Project Not Found"})") << path;
  }
  EXPECT_EQ(gitlab.Get("/groups/acme", "zoe").body, R"({"message":"404 Group Not Found"})");
  EXPECT_EQ(gitlab.Get("/groups/acme", "maria").status, 200) << "a member of a project inside sees the group";
}

TEST(TargetsTest, RunnersTokenIsForMaintainers) {
  TestInstance gitlab;
  EXPECT_NE(Field(gitlab.Get("/projects/1", "maria"), "runners_token"), "");
  EXPECT_EQ(Field(gitlab.Get("/projects/1", "dan"), "runners_token"), "");
}

TEST(TargetsTest, AMovedProjectRedirectsReadsAndRefusesWrites) {
  TestInstance gitlab;
  gitlab.model.state().AddGroup({.full_path = "new"});
  gitlab.model.state().MoveProject(gitlab.project, "new/payments");
  const HttpResponse read = gitlab.Get("/projects/acme%2Fpayments/access_tokens?per_page=5", "maria");
  EXPECT_EQ(read.status, 301);
  EXPECT_EQ(Header(read, "Location"), "http://gitlab.example.test/api/v4/projects/1/access_tokens?per_page=5");
  const HttpResponse write = gitlab.Post("/projects/acme%2Fpayments/access_tokens", "maria",
                                         R"({"name":"n","scopes":["api"],"expires_at":"2026-07-01"})");
  EXPECT_EQ(write.status, 405);
  EXPECT_EQ(Field(write, "message"), "Non GET methods are not allowed for moved projects");
  EXPECT_EQ(gitlab.Get("/projects/acme%2Fpayments", "zoe").status, 404) << "whom it is invisible to learns nothing";
  gitlab.model.state().AddProject({.full_path = "acme/payments"});
  EXPECT_EQ(Field(gitlab.Get("/projects/acme%2Fpayments", "root"), "id"), "2") << "the path was taken again";
}

TEST(TargetsTest, EffectiveMembership) {
  TestInstance gitlab;
  const std::string all = "/projects/1/members/all/";
  EXPECT_EQ(Field(gitlab.Get(all + std::to_string(gitlab.olga), "dan"), "access_level"), "50");
  EXPECT_EQ(gitlab.Get(all + std::to_string(gitlab.root), "dan").body, R"({"message":"404 Not found"})")
      << "an administrator is no member";
}

TEST(UsersTest, FoundByExactNameInAnyCase) {
  TestInstance gitlab;
  EXPECT_EQ(Field(gitlab.Get("/users?username=MARIA", "dan"), "0/id"), std::to_string(gitlab.maria));
  EXPECT_EQ(gitlab.Get("/users?username=mari", "dan").body, "[]");
  EXPECT_EQ(gitlab.Get("/users/999", "root").body, R"({"message":"404 User Not Found"})");
}

TEST(UsersTest, BotsAndAdministratorsShowToAdministratorsAlone) {
  TestInstance gitlab;
  EXPECT_EQ(Field(gitlab.Get("/users?username=root", "root"), "0/is_admin"), "true");
  EXPECT_EQ(Field(gitlab.Get("/users?username=root", "dan"), "0/is_admin"), "");
  EXPECT_EQ(Field(gitlab.Get("/user", "root"), "is_admin"), "true");
  EXPECT_EQ(Field(gitlab.Get("/user", "dan"), "is_admin"), "");
}

TEST(UsersTest, BlockedOnesAreHiddenFromPeople) {
  TestInstance gitlab;
  gitlab.model.state().FindUser(gitlab.zoe)->blocked = true;
  EXPECT_EQ(gitlab.Get("/users?username=zoe", "dan").body, "[]");
  EXPECT_EQ(Field(gitlab.Get("/users?username=zoe", "root"), "0/state"), "blocked");
}

TEST(InstanceTest, SettingsAreForAdministrators) {
  TestInstance gitlab;
  EXPECT_EQ(gitlab.Get("/application/settings", "dan").body, R"({"message":"403 Forbidden"})");
  EXPECT_EQ(Field(gitlab.Get("/application/settings", "root"), "require_personal_access_token_expiry"), "true");
  EXPECT_EQ(Field(gitlab.Get("/metadata", "dan"), "version"), "18.11.5-ee");
}

}  // namespace
}  // namespace tokenbroker::gitlab_sim
