// Ways to get more than the policy grants, one a test, each tried through the real door. What must hold: refused, no
// token made, and nothing told of what the caller may not see.

#include <functional>
#include <limits>
#include <vector>

#include "tests/adversarial/access_fixture.h"

namespace tokenbroker {
namespace {

// The tests of the tests: the same fixture lets through what is granted.
TEST_F(AccessTest, WhatIsGrantedIsGiven) {
  EXPECT_EQ(Try(ForProject("acme/payments")), "");
  EXPECT_EQ(Try(ForProject("7")), "");
  EXPECT_EQ(Try(ForUser("42")), "");
}

struct Trick {
  std::string name;
  std::function<void(v1::CreateTokenRequest&)> play;
  std::string reason;
};

Trick Path(const std::string& name, const std::string& path, const std::string& reason = "FIELD_INVALID") {
  return {name, [path](auto& request) { request.mutable_token()->mutable_target()->set_project(path); }, reason};
}

Trick Scopes(const std::string& name, const std::vector<std::string>& scopes,
             const std::string& reason = "FIELD_INVALID") {
  return {name,
          [scopes](auto& request) {
            request.mutable_token()->clear_scopes();
            for (const std::string& scope : scopes) request.mutable_token()->add_scopes(scope);
          },
          reason};
}

Trick Name(const std::string& name, const std::string& display_name) {
  return {name, [display_name](auto& request) { request.mutable_token()->set_display_name(display_name); },
          "FIELD_INVALID"};
}

class CreateTrickTest : public AccessTest, public testing::WithParamInterface<Trick> {};

TEST_P(CreateTrickTest, IsRefused) {
  v1::CreateTokenRequest request = ForProject("acme/payments");
  GetParam().play(request);
  EXPECT_EQ(Try(request), GetParam().reason);
}

INSTANTIATE_TEST_SUITE_P(
    Of, CreateTrickTest,
    testing::Values(
        Path("PathUpwards", "acme/payments/../../other/secret"), Path("PathUpwardsAtOnce", "../other/secret"),
        Path("PathWithADotSegment", "acme/./payments"), Path("PathWithEncodedSlash", "acme%2Fpayments"),
        Path("PathWithEncodedDots", "acme/%2e%2e/other"), Path("PathWithTwoSlashes", "acme//payments"),
        Path("PathWithSlashFirst", "/acme/payments"), Path("PathWithSlashLast", "acme/payments/"),
        Path("PathWithDotGit", "acme/payments.git"), Path("PathWithNul", std::string("acme/payments\0x", 15)),
        Path("PathWithLineEnd", "acme/payments\nother/secret"), Path("PathWithBlank", " acme/payments"),
        Path("PathWithQuery", "acme/payments?x=1"), Path("PathWithStar", "acme/*"),
        Path("PathWithBackslash", "acme\\payments"), Path("PathOfAGroupAlone", "acme"),
        Path("PathDeeperThanGranted", "acme/teams/payments", "NOT_GRANTED"),
        Path("PathWithTheGrantedOneAsBeginning", "acmeevil/payments", "NOT_GRANTED"), Path("IdWithSign", "+7"),
        Path("IdBelowZero", "-7"), Path("IdOfAForeignProject", "8", "NOT_GRANTED"),
        Path("IdThatIsNobodys", "12345", "NOT_GRANTED"), Path("IdThatOverflows", "18446744073709551623"),
        Path("DeniedInAnotherCase", "ACME/SECRET-PLANS", "NOT_GRANTED"), Path("DeniedById", "9", "NOT_GRANTED"),
        Scopes("ScopeTwice", {"read_api", "read_api"}), Scopes("ScopeInUpperCase", {"READ_API"}),
        Scopes("ScopeWithBlank", {"read_api "}), Scopes("ScopesInOne", {"read_api,api"}), Scopes("NoScope", {}),
        Scopes("EmptyScope", {""}), Scopes("ScopeThatGivesMore", {"api"}, "NOT_GRANTED"),
        Scopes("ScopeBesideAGrantedOne", {"read_api", "write_repository"}, "NOT_GRANTED"),
        Scopes("ScopeSudo", {"read_api", "sudo"}), Scopes("ScopeAdminMode", {"admin_mode"}),
        Scopes("ScopeSelfRotate", {"self_rotate"}, "NOT_GRANTED"), Name("MarkerInTheName", "x [tb:tb1:abc]"),
        Name("MarkerBeginInTheName", "[tb:"), Name("NameWithLineEnd", "a\nb"),
        Trick{"LevelAboveTheGrant", [](auto& request) { request.mutable_token()->set_access_level(40); },
              "NOT_GRANTED"},
        Trick{"LevelBesideTheLadder", [](auto& request) { request.mutable_token()->set_access_level(15); },
              "NOT_GRANTED"},
        Trick{"LevelThatIsNone", [](auto& request) { request.mutable_token()->set_access_level(31); }, "FIELD_INVALID"},
        Trick{"TtlAboveTheGrant",
              [](auto& request) { request.mutable_token()->mutable_ttl()->set_seconds(8 * 3600 + 1); }, "NOT_GRANTED"},
        Trick{"TtlThatOverflows",
              [](auto& request) {
                request.mutable_token()->mutable_ttl()->set_seconds(std::numeric_limits<std::int64_t>::max());
              },
              "FIELD_INVALID"},
        Trick{"AnotherInstance",
              [](auto& request) { request.mutable_token()->mutable_target()->set_instance("elsewhere"); },
              "FIELD_INVALID"}),
    [](const auto& info) { return info.param.name; });

// --- Output-only fields ---

TEST_F(AccessTest, AnOwnerOrStateInARequestChangesNothing) {
  v1::CreateTokenRequest request = ForProject("acme/payments");
  v1::Token& token = *request.mutable_token();
  token.set_name("tokens/00000000000000000000000000");
  token.set_owner("callers/twin");
  token.set_state(v1::TOKEN_STATE_REVOKED);
  token.mutable_upstream()->set_id(1);
  const v1::Token made = Made(request);
  EXPECT_NE(made.name(), token.name());
  EXPECT_EQ(made.owner(), "callers/ci");
  EXPECT_EQ(made.state(), v1::TOKEN_STATE_ACTIVE);
  EXPECT_NE(made.upstream().id(), 1);
}

// --- Users ---

TEST_F(AccessTest, AnAdministratorIsNoTarget) { EXPECT_EQ(Try(ForUser("1")), "TARGET_FORBIDDEN"); }
TEST_F(AccessTest, TheBrokersOwnUserIsNoTarget) { EXPECT_EQ(Try(ForUser("2")), "TARGET_FORBIDDEN"); }
TEST_F(AccessTest, ABlockedUserIsNoTarget) { EXPECT_EQ(Try(ForUser("3")), "TARGET_FORBIDDEN"); }
TEST_F(AccessTest, ABotIsNoTarget) { EXPECT_EQ(Try(ForUser("4")), "TARGET_FORBIDDEN"); }
TEST_F(AccessTest, AnAdministratorsNameIsNoOtherTarget) { EXPECT_EQ(Try(ForUser("root")), "TARGET_FORBIDDEN"); }

TEST_F(AccessTest, AUsernameThatChangedHandsIsNotTheOneThatWasGranted) {
  gitlab_.user(42).target.path = "gone";
  gitlab_.AddUser(43, "demo");
  EXPECT_EQ(Try(ForUser("demo")), "NOT_GRANTED");
  EXPECT_EQ(Try(ForUser("43")), "NOT_GRANTED");
  EXPECT_EQ(Try(ForUser("42")), "NOT_GRANTED");  // The grant names both, and they are not one any more.
}

// --- Projects that change ---

TEST_F(AccessTest, AProjectThatMovedAwayIsNotGrantedByWhereItWas) {
  EXPECT_EQ(Try(ForProject("acme/payments")), "");
  gitlab_.RemoveProject(7);
  gitlab_.AddProject(7, "other/payments");
  loop_.Advance(seconds(61));  // What was looked up is remembered for a minute.
  EXPECT_EQ(Try(ForProject("7")), "NOT_GRANTED");
}

TEST_F(AccessTest, AnotherProjectUnderAGrantedNameIsJudgedByItself) {
  gitlab_.RemoveProject(7);
  gitlab_.AddProject(10, "acme/payments");
  EXPECT_EQ(Try(ForProject("ACME/Payments")), "");
  EXPECT_EQ(gitlab_.specs().back().target.id, 10);
}

// --- What exists, and what does not ---

TEST_F(AccessTest, WhatExistsIsToldLikeWhatDoesNot) {
  v1::CreateTokenResponse response;
  const std::string exists = Told(Call(stub(), kCreate, ForProject("8"), response));
  const std::string does_not = Told(Call(stub(), kCreate, ForProject("123456"), response));
  EXPECT_EQ(exists, does_not);
  EXPECT_EQ(Told(Call(stub(), kCreate, ForProject("other/secret"), response)),
            Told(Call(stub(), kCreate, ForProject("other/nothing"), response)));
  // Denied, and not there at all.
  EXPECT_EQ(Told(Call(stub(), kCreate, ForProject("acme/secret-plans"), response)),
            Told(Call(stub(), kCreate, ForProject("acme/secret-nothing"), response)));
}

TEST_F(AccessTest, TenThousandIdsTellNothing) {
  stub();
  std::map<std::string, int> told;
  Meanwhile([&] {
    for (int id = 1; id <= 10'000; ++id) {
      if (id == 7) continue;  // Granted.
      grpc::ClientContext context;
      v1::CreateTokenResponse response;
      const grpc::Status status = (stubs_["ci"].get()->*kCreate)(&context, ForProject(std::to_string(id)), &response);
      ++told[InfoOf(status).reason()];
    }
  });
  EXPECT_EQ(told.size(), 2u);
  EXPECT_EQ(told["NOT_GRANTED"], 60);  // Of which two exist.
  EXPECT_EQ(told["RESOLUTIONS_EXHAUSTED"], 9'939);
  EXPECT_EQ(gitlab_.resolves(), 60);
}

TEST_F(AccessTest, WhatNobodyMayIsNotAskedOfGitLab) {
  EXPECT_EQ(Try(ForProject("other/secret")), "NOT_GRANTED");
  v1::CheckAccessRequest question;
  *question.mutable_token() = ForProject("other/secret").token();
  question.set_verb("create");
  v1::CheckAccessResponse answer;
  EXPECT_TRUE(Call(stub(), &Stub::CheckAccess, question, answer).ok());
  EXPECT_FALSE(answer.allowed());
  EXPECT_EQ(gitlab_.reads(), 0);
}

}  // namespace
}  // namespace tokenbroker
