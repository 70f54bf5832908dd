#include "server/identity/authenticator.h"

#include <gtest/gtest.h>

#include "server/base/error.h"
#include "server/domain/identity_text.h"

namespace tokenbroker {
namespace {

const WallTime kNow = FromMicros(1'764'000'000'000'000);

const std::vector<CallerRule>& Rules() {
  static const auto* const kRules =
      new std::vector<CallerRule>{{"payments", {"spiffe://test/payments", "spiffe://test/pay"}, {}},
                                  {"web", {"spiffe://test/web"}, {"web.example", "www.example"}},
                                  {"ci", {}, {"ci.example"}}};
  return *kRules;
}

struct Row {
  std::string name;
  PeerFacts peer;
  std::string want;  // "caller identity", or the reason of the error.
  absl::StatusCode code = absl::StatusCode::kOk;
};

class AuthenticateTest : public testing::TestWithParam<Row> {};

TEST_P(AuthenticateTest, Recognises) {
  const Row& row = GetParam();
  const absl::StatusOr<Caller> caller = Authenticate(row.peer, Rules(), kNow);
  EXPECT_EQ(caller.status().code(), row.code) << caller.status();
  if (caller.ok()) {
    EXPECT_EQ(caller->name + " " + caller->identity, row.want);
  } else {
    EXPECT_EQ(ReasonOf(caller.status()), row.want) << caller.status();
  }
}

constexpr auto kAuth = absl::StatusCode::kUnauthenticated;
constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
const WallTime kLater = kNow + hours(1);

INSTANTIATE_TEST_SUITE_P(
    Peers, AuthenticateTest,
    testing::ValuesIn<Row>({
        {"Spiffe", {{"spiffe://test/payments"}, {}, kLater}, "payments spiffe://test/payments"},
        {"SecondSpiffe", {{"spiffe://test/pay"}, {}, kLater}, "payments spiffe://test/pay"},
        {"Dns", {{}, {"ci.example"}, kLater}, "ci dns:ci.example"},
        {"DnsWithoutCase", {{}, {"other", "CI.Example"}, kLater}, "ci dns:ci.example"},
        {"TwoNamesOneCaller", {{}, {"www.example", "web.example"}, kLater}, "web dns:www.example"},
        {"SpiffeAndDnsOfOne", {{"spiffe://test/web"}, {"web.example"}, kLater}, "web spiffe://test/web"},
        {"OtherUriAndDns", {{"https://a", "urn:b"}, {"ci.example"}, kLater}, "ci dns:ci.example"},
        {"SpiffeWithCase", {{"spiffe://test/Payments"}, {}, kLater}, "UNKNOWN_CALLER", kDenied},
        {"SpiffePrefix", {{"spiffe://test/payments/x"}, {}, kLater}, "UNKNOWN_CALLER", kDenied},
        {"DnsSuffix", {{}, {"a.ci.example"}, kLater}, "UNKNOWN_CALLER", kDenied},
        {"Wildcard", {{}, {"*.example"}, kLater}, "UNKNOWN_CALLER", kDenied},
        {"Nothing", {{}, {}, kLater}, "UNKNOWN_CALLER", kDenied},
        {"TwoCallers", {{"spiffe://test/web"}, {"ci.example"}, kLater}, "UNKNOWN_CALLER", kDenied},
        {"TwoCallersByName", {{}, {"ci.example", "web.example"}, kLater}, "UNKNOWN_CALLER", kDenied},
        {"TwoUris", {{"spiffe://test/web", "https://a"}, {}, kLater}, "IDENTITY_INVALID", kAuth},
        {"TwoSpiffe", {{"spiffe://test/web", "spiffe://test/pay"}, {}, kLater}, "IDENTITY_INVALID", kAuth},
        {"HiddenSpiffe", {{"https://a", "SPIFFE://test/web"}, {}, kLater}, "IDENTITY_INVALID", kAuth},
        {"UpperTrustDomain", {{"spiffe://Test/web"}, {}, kLater}, "IDENTITY_INVALID", kAuth},
        {"NoPath", {{"spiffe://test"}, {"ci.example"}, kLater}, "IDENTITY_INVALID", kAuth},
        {"NulInUri", {{std::string("spiffe://test/web\0x", 19)}, {}, kLater}, "IDENTITY_INVALID", kAuth},
        {"NulInDns", {{}, {std::string("ci.example\0.evil", 16)}, kLater}, "IDENTITY_INVALID", kAuth},
        {"HighByteInDns", {{}, {"\xff\xfe", "ci.example"}, kLater}, "IDENTITY_INVALID", kAuth},
        {"EndsNow", {{"spiffe://test/web"}, {}, kNow}, "CERTIFICATE_EXPIRED", kAuth},
        {"OneMicrosecondLeft", {{"spiffe://test/web"}, {}, kNow + Duration(1)}, "web spiffe://test/web"},
        {"NoEnd", {{"spiffe://test/web"}, {}, std::nullopt}, "CERTIFICATE_EXPIRED", kAuth},
    }),
    [](const auto& info) { return info.param.name; });

TEST(IdentityTextTest, SpiffeIds) {
  for (const char* good :
       {"spiffe://a/b", "spiffe://trust.domain-1_x/ns/Team/sa/v1.2", "spiffe://a/...", "spiffe://a/-"}) {
    EXPECT_TRUE(IsSpiffeId(good)) << good;
  }
  for (const char* bad : {"", "spiffe://", "spiffe:///b", "spiffe://a", "spiffe://a/", "spiffe://a//b", "spiffe://a/b/",
                          "spiffe://a/.", "spiffe://a/../b", "spiffe://a/b?c", "spiffe://a/b#c", "spiffe://a:1/b",
                          "spiffe://u@a/b", "spiffe://a/%62", "Spiffe://a/b", "spiffe://A/b", "https://a/b"}) {
    EXPECT_FALSE(IsSpiffeId(bad)) << bad;
  }
  EXPECT_TRUE(IsSpiffeId("spiffe://" + std::string(255, 'a') + "/b"));
  EXPECT_FALSE(IsSpiffeId("spiffe://" + std::string(256, 'a') + "/b"));
  EXPECT_TRUE(IsSpiffeId("spiffe://a/" + std::string(2037, 'b')));
  EXPECT_FALSE(IsSpiffeId("spiffe://a/" + std::string(2038, 'b')));
}

TEST(IdentityTextTest, DnsNames) {
  for (const char* good : {"a", "a.b", "xn--bcher-kva.example", "1.2"}) EXPECT_TRUE(IsDnsName(good)) << good;
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "-a", "a-", "*.a", "A", "a_b", "a b", "b\xc3\xbc"}) {
    EXPECT_FALSE(IsDnsName(bad)) << bad;
  }
  EXPECT_TRUE(IsDnsName(std::string(63, 'a')));
  EXPECT_FALSE(IsDnsName(std::string(64, 'a')));
}

}  // namespace
}  // namespace tokenbroker
