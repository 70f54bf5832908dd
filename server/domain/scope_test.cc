#include "server/domain/scope.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace tokenbroker {
namespace {

using Names = std::set<std::string_view>;

Names ImpliedBy(std::string_view held) {
  Names out;
  for (const std::string_view scope : KnownScopes()) {
    if (Implies(held, scope)) out.insert(scope);
  }
  return out;
}

TEST(ScopeTest, KnownScopesAreSortedAndDistinct) {
  const auto scopes = KnownScopes();
  EXPECT_TRUE(std::is_sorted(scopes.begin(), scopes.end()));
  EXPECT_EQ(Names(scopes.begin(), scopes.end()).size(), scopes.size());
  for (const std::string_view scope : scopes) EXPECT_TRUE(IsKnownScope(scope)) << scope;
  for (const char* other : {"", "API", "read_apy", "openid", "ai_workflows", "granular", "read_api "}) {
    EXPECT_FALSE(IsKnownScope(other)) << other;
  }
}

// The whole relation, so that an edge too many shows as well as one too few.
TEST(ScopeTest, ImpliesExactlyThis) {
  EXPECT_EQ(ImpliedBy("api"),
            (Names{"ai_features", "api", "create_runner", "manage_runner", "read_api", "read_registry",
                   "read_repository", "read_user", "write_registry", "write_repository"}));
  EXPECT_EQ(ImpliedBy("read_api"), (Names{"read_api", "read_registry", "read_repository", "read_user"}));
  EXPECT_EQ(ImpliedBy("write_repository"), (Names{"read_repository", "write_repository"}));
  for (const std::string_view scope : KnownScopes()) {
    if (scope == "api" || scope == "read_api" || scope == "write_repository") continue;
    EXPECT_EQ(ImpliedBy(scope), Names{scope}) << scope;
  }
  EXPECT_FALSE(Implies("", "api"));
  EXPECT_FALSE(Implies("api", "unknown"));
}

TEST(ScopeTest, ImpliesIsAnOrder) {
  for (const std::string_view a : KnownScopes()) {
    EXPECT_TRUE(Implies(a, a)) << a;
    for (const std::string_view b : KnownScopes()) {
      EXPECT_TRUE(a == b || !Implies(a, b) || !Implies(b, a)) << a << " " << b;
      for (const std::string_view c : KnownScopes()) {
        EXPECT_TRUE(!Implies(a, b) || !Implies(b, c) || Implies(a, c)) << a << " " << b << " " << c;
      }
    }
  }
}

TEST(ScopeTest, NothingElseImpliesWhatExtendsATokenOrAdministers) {
  for (const std::string_view held : KnownScopes()) {
    for (const std::string_view wanted : KnownScopes()) {
      if (held == wanted || !(IsSelfExtending(wanted) || IsAdminScope(wanted))) continue;
      EXPECT_FALSE(Implies(held, wanted)) << held << " " << wanted;
    }
  }
  Names extending;
  Names admin;
  for (const std::string_view scope : KnownScopes()) {
    if (IsSelfExtending(scope)) extending.insert(scope);
    if (IsAdminScope(scope)) admin.insert(scope);
  }
  EXPECT_EQ(extending, (Names{"api", "self_rotate"}));
  EXPECT_EQ(admin, (Names{"admin_mode", "read_service_ping", "sudo"}));
}

TEST(ScopeTest, AnyAsksEveryOne) {
  const std::vector<std::string> held = {"read_user", "write_repository"};
  EXPECT_TRUE(AnyImplies(held, "read_repository"));
  EXPECT_TRUE(AnyImplies(held, "read_user"));
  EXPECT_FALSE(AnyImplies(held, "read_api"));
  EXPECT_FALSE(AnyImplies({}, "read_user"));
  EXPECT_FALSE(AnySelfExtending(held));
  EXPECT_TRUE(AnySelfExtending(std::vector<std::string>{"read_user", "self_rotate"}));
  EXPECT_FALSE(AnySelfExtending({}));
}

TEST(ScopeTest, NearestScope) {
  EXPECT_EQ(NearestScope("read_apy"), "read_api");
  EXPECT_EQ(NearestScope("read-repository"), "read_repository");
  EXPECT_EQ(NearestScope("apis"), "api");
  EXPECT_EQ(NearestScope("write_regstry"), "write_registry");
  // What was left unfinished, before what is as long.
  EXPECT_EQ(NearestScope("read_repo"), "read_repository");
  EXPECT_EQ(NearestScope("read_reg"), "read_registry");
  EXPECT_EQ(NearestScope("write_repo"), "write_repository");
  EXPECT_EQ(NearestScope("self"), "self_rotate");
  EXPECT_EQ(NearestScope("openid_connect_everything"), "");
  EXPECT_EQ(NearestScope(std::string(65, 'a')), "");
}

TEST(ScopeTest, FitsTheKind) {
  for (const std::string_view scope : KnownScopes()) {
    const bool for_people = scope == "read_user" || IsAdminScope(scope);
    EXPECT_TRUE(ScopeFits(scope, TargetKind::kUser)) << scope;
    EXPECT_TRUE(ScopeFits(scope, TargetKind::kServiceAccount)) << scope;
    EXPECT_EQ(ScopeFits(scope, TargetKind::kProject), !for_people) << scope;
    EXPECT_EQ(ScopeFits(scope, TargetKind::kGroup), !for_people) << scope;
  }
  EXPECT_FALSE(ScopeFits("unknown", TargetKind::kUser));
}

TEST(AccessLevelTest, Levels) {
  const std::set<int> levels = {10, 15, 20, 25, 30, 40, 50};
  for (int level = -1; level <= 61; ++level) EXPECT_EQ(IsAccessLevel(level), levels.contains(level)) << level;
}

TEST(AccessLevelTest, CoversExactlyThis) {
  const std::vector<std::pair<int, std::set<int>>> rows = {
      {10, {10}},
      {15, {15}},
      {20, {10, 20}},
      {25, {25}},
      {30, {10, 20, 30}},
      {40, {10, 20, 30, 40}},
      {50, {10, 15, 20, 25, 30, 40, 50}},
      {0, {}},  // No level: covers nothing, itself neither.
      {35, {}},
      {60, {}},
  };
  for (const auto& [highest, covered] : rows) {
    for (int wanted = -1; wanted <= 61; ++wanted) {
      EXPECT_EQ(LevelCovers(highest, wanted), covered.contains(wanted)) << highest << " " << wanted;
    }
  }
}

// For each scope that may be denied, all that are denied with it.
TEST(ScopeTest, ADenyHitsAllThatMightReachTheScope) {
  const std::map<std::string_view, Names> rows = {
      {"admin_mode", {"admin_mode", "sudo"}},
      {"ai_features", {"ai_features", "api", "sudo"}},
      {"api", {"api", "sudo"}},
      {"create_runner", {"create_runner", "api", "sudo"}},
      {"k8s_proxy", {"k8s_proxy", "api", "sudo"}},
      {"manage_runner", {"manage_runner", "api", "sudo"}},
      {"read_api", {"read_api", "api", "sudo"}},
      {"read_registry", {"read_registry", "write_registry", "read_api", "api", "sudo"}},
      {"read_repository", {"read_repository", "write_repository", "read_api", "api", "sudo"}},
      {"read_service_ping", {"read_service_ping", "sudo"}},
      {"read_user", {"read_user", "read_api", "api", "sudo"}},
      {"read_virtual_registry", {"read_virtual_registry", "write_virtual_registry", "read_api", "api", "sudo"}},
      {"self_rotate", {"self_rotate", "api", "sudo"}},
      {"sudo", {"sudo"}},
      {"write_registry", {"write_registry", "api", "sudo"}},
      {"write_repository", {"write_repository", "api", "sudo"}},
      {"write_virtual_registry", {"write_virtual_registry", "api", "sudo"}},
  };
  for (const std::string_view denied : KnownScopes()) {
    ASSERT_TRUE(rows.contains(denied)) << denied;
    for (const std::string_view held : KnownScopes()) {
      EXPECT_EQ(Gives(held, denied), rows.at(denied).contains(held)) << held << " " << denied;
      EXPECT_TRUE(Gives(held, denied) || !Implies(held, denied)) << held << " " << denied;
    }
  }
}

}  // namespace
}  // namespace tokenbroker
