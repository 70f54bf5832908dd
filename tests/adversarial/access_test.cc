// Ways to get more than the policy grants, one a test, each tried through the real door. What must hold: refused, no
// token made, and nothing told of what the caller may not see.

#include <google/protobuf/text_format.h>

#include <functional>
#include <limits>
#include <map>
#include <vector>

#include "google/rpc/status.pb.h"
#include "server/rpc/rpc_fixture.h"
#include "tokenbroker/v1/admin_service.grpc.pb.h"

namespace tokenbroker {
namespace {

using Stub = v1::TokenService::Stub;

constexpr auto kCreate =
    static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::CreateTokenRequest&, v1::CreateTokenResponse*)>(
        &Stub::CreateToken);
constexpr auto kGet =
    static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::GetTokenRequest&, v1::GetTokenResponse*)>(
        &Stub::GetToken);
constexpr auto kRevoke =
    static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::RevokeTokenRequest&, v1::RevokeTokenResponse*)>(
        &Stub::RevokeToken);
constexpr auto kList =
    static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::ListTokensRequest&, v1::ListTokensResponse*)>(
        &Stub::ListTokens);

constexpr char kPolicy[] = R"pb(
  callers {
    name: "ci"
    identities { spiffe: "spiffe://test/ci" }
  }
  callers {
    name: "twin"
    identities { spiffe: "spiffe://test/twin" }
  }
  roles {
    key: "maker"
    value {
      grants {
        verbs: "create"
        targets { project: "acme/*" }
        scopes: "read_api"
        max_access_level: 30
        max_ttl: "8h"
      }
      grants {
        verbs: "create"
        targets { user: 42 username: "demo" }
        targets { user: 1 }
        targets { user: 2 }
        targets { user: 3 }
        targets { user: 4 }
        scopes: "read_user"
        max_ttl: "8h"
      }
    }
  }
  bindings { callers: "ci" callers: "twin" roles: "maker" }
  denies { targets { project: "acme/secret*" } }
)pb";

class AccessTest : public RpcTest {
 protected:
  AccessTest() {
    config::v1::Policy source;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kPolicy, &source));
    const auto policy = Policy::Compile(source, "test", {});
    EXPECT_TRUE(policy.ok()) << policy.status();
    policies_->Set(*policy);
    gitlab_.AddProject(8, "other/secret");
    gitlab_.AddProject(9, "acme/Secret-plans");
    for (const std::int64_t id : {2, 3, 4}) gitlab_.AddUser(id, "user" + std::to_string(id));
    gitlab_.user(2).is_issuer = true;
    gitlab_.user(3).active = false;
    gitlab_.user(4).bot = true;
  }
  // Whatever was tried, GitLab made nothing for it.
  void TearDown() override { EXPECT_EQ(gitlab_.posts(), allowed_); }

  Stub& stub(const std::string& caller = "ci") {
    auto& stub = stubs_[caller];
    if (stub == nullptr) stub = StubOf(ClientSpec("spiffe://test/" + caller));
    return *stub;
  }
  static v1::CreateTokenRequest ForProject(const std::string& ref) {
    v1::CreateTokenRequest request;
    v1::Token& token = *request.mutable_token();
    token.set_display_name("scan");
    token.mutable_target()->set_project(ref);
    token.add_scopes("read_api");
    token.set_access_level(20);
    token.mutable_ttl()->set_seconds(3600);
    return request;
  }
  static v1::CreateTokenRequest ForUser(const std::string& ref) {
    v1::CreateTokenRequest request = ForProject("");
    request.mutable_token()->mutable_target()->set_user(ref);
    request.mutable_token()->set_scopes(0, "read_user");
    request.mutable_token()->clear_access_level();
    return request;
  }
  // The reason of the refusal; "" if it was none.
  std::string Try(const v1::CreateTokenRequest& request, const std::string& caller = "ci") {
    v1::CreateTokenResponse response;
    const grpc::Status status = Call(stub(caller), kCreate, request, response);
    EXPECT_TRUE(status.ok() || response.secret().empty());
    if (status.ok()) ++allowed_;
    return status.ok() ? "" : InfoOf(status).reason();
  }
  v1::Token Made(const v1::CreateTokenRequest& request, const std::string& caller = "ci") {
    v1::CreateTokenResponse response;
    const grpc::Status status = Call(stub(caller), kCreate, request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    ++allowed_;
    return response.token();
  }
  // Everything that a caller is told, without the random id that ties it to the log.
  static std::string Told(const grpc::Status& status) {
    google::rpc::Status details;
    EXPECT_TRUE(details.ParseFromString(status.error_details()));
    for (google::protobuf::Any& any : *details.mutable_details()) {
      google::rpc::ErrorInfo info;
      if (!any.UnpackTo(&info)) continue;
      info.mutable_metadata()->erase("decision_id");
      any.PackFrom(info);
    }
    return std::to_string(status.error_code()) + status.error_message() + details.SerializeAsString();
  }

  int allowed_ = 0;
  std::map<std::string, std::unique_ptr<Stub>> stubs_;
};

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
        Trick{"OwnerOfSomebodyElse", [](auto& request) { request.mutable_token()->set_owner("callers/twin"); },
              "FIELD_INVALID"},
        Trick{"StateOfItsOwnChoice", [](auto& request) { request.mutable_token()->set_state(v1::TOKEN_STATE_ACTIVE); },
              "FIELD_INVALID"},
        Trick{"AnotherInstance",
              [](auto& request) { request.mutable_token()->mutable_target()->set_instance("elsewhere"); },
              "FIELD_INVALID"}),
    [](const auto& info) { return info.param.name; });

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

// --- Others' tokens ---

class OthersTokenTest : public AccessTest {
 protected:
  OthersTokenTest() : theirs_(Made(ForProject("acme/payments"), "twin").name()) {
    nobodys_ = theirs_;
    nobodys_.back() = nobodys_.back() == '0' ? '1' : '0';
    reads_ = gitlab_.reads();
  }
  // What is told of a token, and by how many reads of the ledger it was found out.
  template <typename Method, typename Request, typename Response>
  std::pair<std::string, int> Ask(Method method, Request request, Response response, const std::string& name) {
    request.set_name(name);
    const int before = faulty_->gets();
    const grpc::Status status = Call(stub(), method, request, response);
    EXPECT_FALSE(status.ok());
    std::string told = Told(status);
    for (std::size_t at = told.find(name); at != std::string::npos; at = told.find(name))
      told.replace(at, name.size(), "NAME");
    return {told, faulty_->gets() - before};
  }
  void TearDown() override {
    EXPECT_EQ(gitlab_.reads(), reads_);
    EXPECT_EQ(gitlab_.deletes(), 0);
    AccessTest::TearDown();
  }

  const std::string theirs_;
  std::string nobodys_;
  int reads_ = 0;
};

TEST_F(OthersTokenTest, IsReadLikeOneThatNeverWas) {
  const auto theirs = Ask(kGet, v1::GetTokenRequest(), v1::GetTokenResponse(), theirs_);
  EXPECT_EQ(theirs, Ask(kGet, v1::GetTokenRequest(), v1::GetTokenResponse(), nobodys_));
  EXPECT_EQ(theirs.second, 1);
}

TEST_F(OthersTokenTest, IsRevokedLikeOneThatNeverWas) {
  const auto theirs = Ask(kRevoke, v1::RevokeTokenRequest(), v1::RevokeTokenResponse(), theirs_);
  EXPECT_EQ(theirs, Ask(kRevoke, v1::RevokeTokenRequest(), v1::RevokeTokenResponse(), nobodys_));
}

TEST_F(OthersTokenTest, IsInNoListOfOurs) {
  for (const char* filter : {"", "state = ACTIVE", "owner = \"callers/twin\"", "target = \"project:7\""}) {
    v1::ListTokensRequest request;
    request.set_filter(filter);
    v1::ListTokensResponse response;
    const grpc::Status status = Call(stub(), kList, request, response);
    EXPECT_TRUE(status.ok()) << filter << status.error_message();
    EXPECT_EQ(response.tokens_size(), 0) << filter;
  }
}

TEST_F(OthersTokenTest, IsNotReachedByItsNameInAnotherSpelling) {
  std::string upper = theirs_;
  for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  for (const std::string& name : {upper, theirs_ + "/", "tokens//" + theirs_.substr(7), theirs_.substr(7),
                                  "callers/twin/" + theirs_, theirs_ + std::string("\0", 1)}) {
    v1::GetTokenRequest request;
    request.set_name(name);
    v1::GetTokenResponse response;
    EXPECT_FALSE(Call(stub(), kGet, request, response).ok()) << name;
  }
}

TEST_F(OthersTokenTest, IsNotGotByRepeatingItsRequest) {
  v1::CreateTokenRequest request = ForProject("acme/payments");
  request.set_request_id("6f1c1a0e-7f0a-4a3c-9a53-0d6a4c7c9f11");
  const std::string first = Made(request, "twin").name();
  const std::string second = Made(request, "ci").name();
  EXPECT_NE(first, second);
  v1::GetTokenRequest get;
  get.set_name(first);
  v1::GetTokenResponse got;
  ASSERT_TRUE(Call(stub("twin"), kGet, get, got).ok());
  EXPECT_EQ(got.token().state(), v1::TOKEN_STATE_ACTIVE);  // Nobody else's repeat replaces it.
  reads_ = gitlab_.reads();
}

TEST_F(OthersTokenTest, IsNotFoundBehindTheirPageToken) {
  (void)Made(ForProject("acme/payments"), "twin");
  v1::ListTokensRequest request;
  request.set_page_size(1);
  v1::ListTokensResponse page;
  ASSERT_TRUE(Call(stub("twin"), kList, request, page).ok());
  ASSERT_FALSE(page.next_page_token().empty());
  request.set_page_token(page.next_page_token());
  v1::ListTokensResponse ours;
  const grpc::Status status = Call(stub(), kList, request, ours);
  EXPECT_EQ(InfoOf(status).reason(), "PAGE_TOKEN_INVALID");
  reads_ = gitlab_.reads();
}

// --- The administration ---

TEST_F(AccessTest, TheAdministrationIsForWhomItIsGranted) {
  const TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  const auto admin = v1::AdminService::NewStub(ChannelOf(&spec));
  std::vector<std::string> reasons;
  Meanwhile([&] {
    {
      grpc::ClientContext context;
      v1::ListUnknownTokensResponse response;
      reasons.push_back(InfoOf(admin->ListUnknownTokens(&context, {}, &response)).reason());
    }
    {
      grpc::ClientContext context;
      v1::AdoptTokensResponse response;
      reasons.push_back(InfoOf(admin->AdoptTokens(&context, {}, &response)).reason());
    }
    {
      grpc::ClientContext context;
      v1::RevokeUnknownTokensResponse response;
      reasons.push_back(InfoOf(admin->RevokeUnknownTokens(&context, {}, &response)).reason());
    }
    {
      grpc::ClientContext context;
      const auto reader = admin->ExportAudit(&context, {});
      v1::ExportAuditResponse response;
      EXPECT_FALSE(reader->Read(&response));
      reasons.push_back(InfoOf(reader->Finish()).reason());
    }
  });
  EXPECT_EQ(reasons, std::vector<std::string>(4, "NOT_GRANTED"));
}

}  // namespace
}  // namespace tokenbroker
