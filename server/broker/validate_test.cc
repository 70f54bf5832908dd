#include "server/broker/validate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "server/base/error.h"
#include "server/domain/expiry.h"

namespace tokenbroker {
namespace {

const WallTime kNow = FromMicros(1'764'000'000'000'000);

CreateRequest Good() {
  CreateRequest request;
  request.display_name = "DeepTraQ Integration Token";
  request.target = {"", TargetKind::kUser, "42"};
  request.scopes = {"read_user", "read_repository"};
  request.ttl = hours(1);
  return request;
}

CreateRequest GoodProject(std::string ref) {
  CreateRequest request = Good();
  request.target = {"", TargetKind::kProject, std::move(ref)};
  request.scopes = {"read_repository"};
  request.access_level = 20;
  return request;
}

TEST(ValidateTest, AcceptsWhatIsAsked) {
  EXPECT_TRUE(ValidateCreate(Good(), "main", kNow).ok());
  EXPECT_TRUE(ValidateCreate(GoodProject("acme/payments.api_v2"), "main", kNow).ok());
  EXPECT_TRUE(ValidateCreate(GoodProject("7"), "main", kNow).ok());
  CreateRequest request = Good();
  request.display_name = std::string(79, 'x') + "\xc3\xbc";  // 80 characters in 81 bytes.
  request.labels = {{"team.example/name", "payments"}};
  request.request_id = "7C9E6679-7425-40DE-944B-E07FC1F90AE7";
  EXPECT_TRUE(ValidateCreate(request, "main", kNow).ok());
}

struct BadCase {
  std::string name;
  std::function<void(CreateRequest&)> spoil;
  std::string field;
  std::string says;
};

class ValidateBadTest : public testing::TestWithParam<BadCase> {};

TEST_P(ValidateBadTest, NamesTheFieldAndTheRule) {
  CreateRequest request = Good();
  GetParam().spoil(request);
  const absl::Status status = ValidateCreate(request, "main", kNow);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), "FIELD_INVALID");
  const std::vector<FieldViolation> fields = FieldsOf(status);
  const bool named = std::any_of(fields.begin(), fields.end(), [](const FieldViolation& each) {
    return each.field == GetParam().field && each.description.find(GetParam().says) != std::string::npos;
  });
  EXPECT_TRUE(named) << status;
}

INSTANTIATE_TEST_SUITE_P(
    Fields, ValidateBadTest,
    testing::ValuesIn<BadCase>({
        {"EmptyName", [](auto& r) { r.display_name = ""; }, "token.display_name", "is required"},
        {"LongName", [](auto& r) { r.display_name = std::string(81, 'x'); }, "token.display_name", "81 characters"},
        {"MarkerInName", [](auto& r) { r.display_name = "x [TB:b:1]"; }, "token.display_name", "[tb:"},
        {"NewlineInName", [](auto& r) { r.display_name = "a\nb"; }, "token.display_name", "control character"},
        {"C1InName", [](auto& r) { r.display_name = "a\xc2\x85z"; }, "token.display_name", "control character"},
        {"BidiInName", [](auto& r) { r.display_name = "a\xe2\x80\xaez"; }, "token.display_name", "control character"},
        {"BlankAtEnd", [](auto& r) { r.display_name = "a "; }, "token.display_name", "white space"},
        {"WideBlankAtStart", [](auto& r) { r.display_name = "\xe3\x80\x80z"; }, "token.display_name", "white space"},
        {"LongPurpose", [](auto& r) { r.purpose = std::string(121, 'x'); }, "token.purpose", "120"},
        {"OtherInstance", [](auto& r) { r.target.instance = "x"; }, "token.target.instance", "\"main\""},
        {"NoUser", [](auto& r) { r.target.ref = ""; }, "token.target.user", "is required"},
        {"UserZero", [](auto& r) { r.target.ref = "0"; }, "token.target.user", "is 0"},
        {"OddUser", [](auto& r) { r.target.ref = "a b"; }, "token.target.user", "username"},
        {"NoScopes", [](auto& r) { r.scopes = {}; }, "token.scopes", "is required"},
        {"ManyScopes", [](auto& r) { r.scopes.assign(17, "api"); }, "token.scopes", "17 scopes"},
        {"UnknownScope",
         [](auto& r) {
           r.scopes = {"read_user", "read_apy"};
         },
         "token.scopes[1]", "did you mean 'read_api'?"},
        {"StrangeScope", [](auto& r) { r.scopes = {"\x01\xff"}; }, "token.scopes[0]", "unknown scope '\?\?'"},
        {"CapitalScope", [](auto& r) { r.scopes = {"API"}; }, "token.scopes[0]", "unknown scope"},
        {"ScopeTwice",
         [](auto& r) {
           r.scopes = {"api", "api"};
         },
         "token.scopes[1]", "twice"},
        {"LevelOfUser", [](auto& r) { r.access_level = 30; }, "token.access_level", "must be 0"},
        {"BadLabel",
         [](auto& r) {
           r.labels = {{"A", "x"}};
         },
         "token.labels['A']", "[a-z0-9._/-]"},
        {"LongLabel",
         [](auto& r) {
           r.labels = {{"a", std::string(129, 'x')}};
         },
         "token.labels['a']", "128"},
        {"NoEnd", [](auto& r) { r.ttl.reset(); }, "token.expiration", "exactly one"},
        {"ZeroTtl", [](auto& r) { r.ttl = seconds(0); }, "token.ttl", "at least 1m"},
        {"NegativeTtl", [](auto& r) { r.ttl = -hours(1); }, "token.ttl", "at least 1m"},
        {"LongTtl", [](auto& r) { r.ttl = kMaxTtl + seconds(1); }, "token.ttl", "at most 400d"},
        {"PastEnd",
         [](auto& r) {
           r.ttl.reset();
           r.expire_time = kNow - seconds(1);
         },
         "token.expire_time", "at least 1m"},
        {"BadRequestId", [](auto& r) { r.request_id = "7c9e6679-7425-10de-944b-e07fc1f90ae7"; }, "request_id",
         "version 4"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(ValidateTest, ProjectPathsHaveOneSpelling) {
  for (const char* ref : {"acme", "acme/", "/acme/x", "acme//x", "acme/x.git", "acme/x.GIT", "acme%2Fx", "acme/../x",
                          "acme/.", "acme/-x", "acme/x y", "acme/x?y", "acme/\xc3\xbc"}) {
    const absl::Status status = ValidateCreate(GoodProject(ref), "main", kNow);
    ASSERT_FALSE(status.ok()) << ref;
    EXPECT_EQ(FieldsOf(status).at(0).field, "token.target.project") << ref;
  }
}

TEST(ValidateTest, ProjectTokensNeedALevelAndCannotReadUsers) {
  CreateRequest request = GoodProject("acme/payments");
  request.access_level = 0;
  request.scopes = {"read_user"};
  const std::vector<FieldViolation> fields = FieldsOf(ValidateCreate(request, "main", kNow));
  ASSERT_EQ(fields.size(), 2u);  // All that is wrong at once.
  EXPECT_EQ(fields[0].field, "token.scopes[0]");
  EXPECT_EQ(fields[1].field, "token.access_level");
}

TEST(DigestTest, IsOneForARepeatAndAnotherForAnythingElse) {
  const std::string digest = DigestOf("CreateToken", Good());
  CreateRequest same = Good();
  std::swap(same.scopes[0], same.scopes[1]);
  EXPECT_EQ(DigestOf("CreateToken", same), digest);
  EXPECT_NE(DigestOf("RotateToken", Good()), digest);
  const std::vector<std::function<void(CreateRequest&)>> changes = {
      [](auto& r) { r.display_name += "x"; },
      [](auto& r) { r.purpose = "x"; },
      [](auto& r) { r.target.ref = "43"; },
      [](auto& r) { r.target.kind = TargetKind::kProject; },
      [](auto& r) { r.scopes.pop_back(); },
      [](auto& r) { r.access_level = 10; },
      [](auto& r) {
        r.labels = {{"a", "b"}};
      },
      [](auto& r) { r.ttl = hours(2); },
      [](auto& r) {
        r.ttl.reset();
        r.expire_time = kNow + hours(1);
      },
  };
  for (const auto& change : changes) {
    CreateRequest other = Good();
    change(other);
    EXPECT_NE(DigestOf("CreateToken", other), digest);
  }
}

}  // namespace
}  // namespace tokenbroker
