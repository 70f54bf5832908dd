#include "server/identity/authenticator.h"

#include <gtest/gtest.h>

#include "server/base/error.h"
#include "server/domain/identity_text.h"

namespace tokenbroker {
namespace {

const WallTime kNow = FromMicros(1'764'000'000'000'000);
const WallTime kLater = kNow + hours(1);

IdentityRule Certificate(PatternKind kind, const std::string& text) {
  IdentityRule rule;
  rule.certificate = *TextPattern::Parse(kind, text);
  return rule;
}
IdentityRule Spiffe(const std::string& path) { return Certificate(PatternKind::kSpiffe, "spiffe://" + path); }
IdentityRule Dns(const std::string& name) { return Certificate(PatternKind::kDns, name); }
IdentityRule AndJwt(IdentityRule rule, const std::string& subject,
                    const std::map<std::string, std::string>& claims = {}) {
  rule.jwt.emplace();
  rule.jwt->issuer = "https://idp";
  if (!subject.empty()) rule.jwt->subject = *TextPattern::Parse(PatternKind::kJwt, subject);
  for (const auto& [name, text] : claims) rule.jwt->claims.emplace(name, *TextPattern::Parse(PatternKind::kJwt, text));
  return rule;
}
IdentityRule Jwt(const std::string& subject, const std::map<std::string, std::string>& claims = {}) {
  return AndJwt({}, subject, claims);
}
CallerRule Rule(const std::string& name, std::vector<IdentityRule> identities) {
  return {*CallerName::Parse(name), std::move(identities)};
}

const std::vector<CallerRule>& Rules() {
  static const auto* const kRules = new std::vector<CallerRule>{
      Rule("payments", {Spiffe("test/payments"), Spiffe("test/pay")}),
      Rule("web", {Spiffe("test/web"), Dns("web.example"), Dns("www.example")}),
      Rule("ci", {Dns("ci.example")}),
      Rule("team-{team}", {Spiffe("test/ns/{team}/sa/*"), Dns("{team}.teams.example"),
                           Jwt("system:serviceaccount:{team}:deploy", {{"kubernetes.io/namespace", "{team}"}})}),
      Rule("both", {AndJwt(Spiffe("test/both"), "both")}),
      Rule("other-both", {AndJwt(Spiffe("test/other"), "other")}),
      Rule("pair-{x}", {AndJwt(Spiffe("test/pair/{x}"), "pair:{x}")}),
      Rule("job", {Jwt("", {{"project_path", "acme/job"}, {"ref_protected", "true"}})}),
      Rule("robot", {Jwt("robot")}),
      Rule("operators", {Jwt("", {{"groups", "operators"}})}),
      Rule("auditors", {Jwt("", {{"groups", "auditors"}, {"site", "*"}})}),
      Rule("squad-{s}", {Jwt("", {{"groups", "squad-{s}"}, {"home", "{s}"}})}),
      Rule("any-{g}", {Jwt("", {{"groups", "any-{g}"}})}),
  };
  return *kRules;
}

PeerFacts Shows(std::vector<std::string> uris, std::vector<std::string> dns_names = {},
                std::optional<WallTime> not_after = kLater) {
  return {CertificateFacts{std::move(uris), std::move(dns_names), not_after}, {}};
}
PeerFacts And(PeerFacts peer, std::string subject, std::map<std::string, std::string> claims = {},
              std::string issuer = "https://idp") {
  peer.bearer = BearerFacts{std::move(issuer), std::move(subject), std::move(claims)};
  return peer;
}
PeerFacts Bears(std::string subject, std::map<std::string, std::string> claims = {}) {
  return And({}, std::move(subject), std::move(claims));
}
// With the claim "groups", a list.
PeerFacts InGroups(std::vector<std::string> groups, std::map<std::string, std::string> claims = {}) {
  PeerFacts peer = Bears("person", std::move(claims));
  peer.bearer->claim_lists.emplace("groups", std::move(groups));
  return peer;
}

std::string ToText(const Caller& caller) {
  std::string text = caller.name + " " + caller.identity;
  if (!caller.rule.empty()) text += " of " + caller.rule;
  for (const auto& [name, caught] : caller.captures) text.append(" ").append(name).append("=").append(caught);
  return text;
}

struct Row {
  std::string name;
  PeerFacts peer;
  std::string want;  // ToText, or the reason of the error.
  absl::StatusCode code = absl::StatusCode::kOk;
};

class RecogniseTest : public testing::TestWithParam<Row> {};

TEST_P(RecogniseTest, Recognises) {
  const Row& row = GetParam();
  const absl::StatusOr<Caller> caller = CallerIndex(Rules(), {}).Recognise(row.peer, kNow);
  EXPECT_EQ(caller.status().code(), row.code) << caller.status();
  EXPECT_EQ(caller.ok() ? ToText(*caller) : ReasonOf(caller.status()), row.want) << caller.status();
}

constexpr auto kAuth = absl::StatusCode::kUnauthenticated;
constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
const std::map<std::string, std::string> kBlue = {{"kubernetes.io/namespace", "blue"}};

INSTANTIATE_TEST_SUITE_P(
    Peers, RecogniseTest,
    testing::ValuesIn<Row>({
        {"Spiffe", Shows({"spiffe://test/payments"}), "payments spiffe://test/payments"},
        {"SecondSpiffe", Shows({"spiffe://test/pay"}), "payments spiffe://test/pay"},
        {"Dns", Shows({}, {"ci.example"}), "ci dns:ci.example"},
        {"DnsWithoutCase", Shows({}, {"other", "CI.Example"}), "ci dns:ci.example"},
        {"TwoNamesOneCaller", Shows({}, {"www.example", "web.example"}), "web dns:www.example"},
        {"SpiffeAndDnsOfOne", Shows({"spiffe://test/web"}, {"web.example"}), "web spiffe://test/web"},
        {"OtherUriAndDns", Shows({"https://a", "urn:b"}, {"ci.example"}), "ci dns:ci.example"},
        {"SpiffeWithCase", Shows({"spiffe://test/Payments"}), "UNKNOWN_CALLER", kDenied},
        {"SpiffePrefix", Shows({"spiffe://test/payments/x"}), "UNKNOWN_CALLER", kDenied},
        {"DnsSuffix", Shows({}, {"a.ci.example"}), "UNKNOWN_CALLER", kDenied},
        {"Wildcard", Shows({}, {"*.example"}), "UNKNOWN_CALLER", kDenied},
        {"TrailingDot", Shows({}, {"ci.example."}), "UNKNOWN_CALLER", kDenied},
        {"NoName", Shows({}), "UNKNOWN_CALLER", kDenied},
        {"TwoCallers", Shows({"spiffe://test/web"}, {"ci.example"}), "UNKNOWN_CALLER", kDenied},
        {"TwoCallersByName", Shows({}, {"ci.example", "web.example"}), "UNKNOWN_CALLER", kDenied},
        {"TwoUris", Shows({"spiffe://test/web", "https://a"}), "IDENTITY_INVALID", kAuth},
        {"TwoSpiffe", Shows({"spiffe://test/web", "spiffe://test/pay"}), "IDENTITY_INVALID", kAuth},
        {"HiddenSpiffe", Shows({"https://a", "SPIFFE://test/web"}), "IDENTITY_INVALID", kAuth},
        {"UpperTrustDomain", Shows({"spiffe://Test/web"}), "IDENTITY_INVALID", kAuth},
        {"NoPath", Shows({"spiffe://test"}, {"ci.example"}), "IDENTITY_INVALID", kAuth},
        {"NulInUri", Shows({std::string("spiffe://test/web\0x", 19)}), "IDENTITY_INVALID", kAuth},
        {"NulInDns", Shows({}, {std::string("ci.example\0.evil", 16)}), "IDENTITY_INVALID", kAuth},
        {"HighByteInDns", Shows({}, {"\xff\xfe", "ci.example"}), "IDENTITY_INVALID", kAuth},
        {"EndsNow", Shows({"spiffe://test/web"}, {}, kNow), "CERTIFICATE_EXPIRED", kAuth},
        {"OneMicrosecondLeft", Shows({"spiffe://test/web"}, {}, kNow + Duration(1)), "web spiffe://test/web"},
        {"NoEnd", Shows({"spiffe://test/web"}, {}, std::nullopt), "CERTIFICATE_EXPIRED", kAuth},
        {"Nothing", PeerFacts(), "IDENTITY_INVALID", kAuth},
        {"Capture", Shows({"spiffe://test/ns/blue/sa/x"}),
         "team-blue spiffe://test/ns/blue/sa/x of team-{team} team=blue"},
        {"CaptureOfDns", Shows({}, {"Blue.teams.example"}),
         "team-blue dns:blue.teams.example of team-{team} team=blue"},
        {"CaptureWithCase", Shows({"spiffe://test/ns/Blue/sa/x"}), "UNKNOWN_CALLER", kDenied},
        {"CaptureTooLong", Shows({"spiffe://test/ns/" + std::string(60, 'a') + "/sa/x"}), "UNKNOWN_CALLER", kDenied},
        {"TwoTeams", Shows({}, {"blue.teams.example", "red.teams.example"}), "UNKNOWN_CALLER", kDenied},
        {"OneTeamTwice", Shows({"spiffe://test/ns/blue/sa/x"}, {"blue.teams.example"}),
         "team-blue spiffe://test/ns/blue/sa/x of team-{team} team=blue"},
        {"TwoTeamsByKind", Shows({"spiffe://test/ns/blue/sa/x"}, {"red.teams.example"}), "UNKNOWN_CALLER", kDenied},
        {"Bearer", Bears("robot"), "robot jwt:https://idp robot"},
        {"OtherIssuer", And({}, "robot", {}, "https://idp/"), "UNKNOWN_CALLER", kDenied},
        {"BearerCaptures", Bears("system:serviceaccount:blue:deploy", kBlue),
         "team-blue jwt:https://idp system:serviceaccount:blue:deploy of team-{team} team=blue"},
        {"CapturesDisagree", Bears("system:serviceaccount:red:deploy", kBlue), "UNKNOWN_CALLER", kDenied},
        {"ClaimMissing", Bears("system:serviceaccount:blue:deploy"), "UNKNOWN_CALLER", kDenied},
        {"Claims", Bears("any", {{"project_path", "acme/job"}, {"ref_protected", "true"}, {"ref", "main"}}),
         "job jwt:https://idp any"},
        {"ClaimDiffers", Bears("any", {{"project_path", "acme/job"}, {"ref_protected", "false"}}), "UNKNOWN_CALLER",
         kDenied},
        {"Both", And(Shows({"spiffe://test/both"}), "both"), "both spiffe://test/both jwt:https://idp both"},
        {"CertificateAlone", Shows({"spiffe://test/both"}), "UNKNOWN_CALLER", kDenied},
        {"TokenAlone", Bears("both"), "UNKNOWN_CALLER", kDenied},
        {"OneOfEach", And(Shows({"spiffe://test/both"}), "other"), "UNKNOWN_CALLER", kDenied},
        {"OneNameThroughout", And(Shows({"spiffe://test/pair/a"}), "pair:a"),
         "pair-a spiffe://test/pair/a jwt:https://idp pair:a of pair-{x} x=a"},
        {"TwoNamesThroughout", And(Shows({"spiffe://test/pair/a"}), "pair:b"), "UNKNOWN_CALLER", kDenied},
        {"BothOfTwoCallers", And(Shows({"spiffe://test/web"}), "robot"), "UNKNOWN_CALLER", kDenied},
        {"TokenOfNobody", And(Shows({"spiffe://test/web"}), "nobody"), "web spiffe://test/web"},
        {"ExpiredWithToken", And(Shows({"spiffe://test/web"}, {}, kNow), "robot"), "CERTIFICATE_EXPIRED", kAuth},
        {"BadCertificateWithToken", And(Shows({"spiffe://test"}), "robot"), "IDENTITY_INVALID", kAuth},
        {"ElementOfAList", InGroups({"users", "operators"}), "operators jwt:https://idp person"},
        {"ElementTwice", InGroups({"operators", "operators"}), "operators jwt:https://idp person"},
        {"OnlyPartOfAnElement", InGroups({"operators2", "the-operators", ""}), "UNKNOWN_CALLER", kDenied},
        {"EmptyList", InGroups({}), "UNKNOWN_CALLER", kDenied},
        {"TextInPlaceOfAList", Bears("person", {{"groups", "operators"}}), "operators jwt:https://idp person"},
        {"ListOfTwoCallers", InGroups({"operators", "auditors"}, {{"site", "x"}}), "UNKNOWN_CALLER", kDenied},
        {"ListAndClaim", InGroups({"users", "auditors"}, {{"site", "x"}}), "auditors jwt:https://idp person"},
        {"ListWithoutClaim", InGroups({"auditors"}), "UNKNOWN_CALLER", kDenied},
        {"CaptureOfAnElement", InGroups({"users", "any-x"}), "any-x jwt:https://idp person of any-{g} g=x"},
        {"CapturesOfTwoElements", InGroups({"any-x", "any-y"}), "UNKNOWN_CALLER", kDenied},
        {"TheElementThatAgrees", InGroups({"squad-a", "squad-b"}, {{"home", "b"}}),
         "squad-b jwt:https://idp person of squad-{s} s=b"},
        {"NoElementAgrees", InGroups({"squad-a"}, {{"home", "b"}}), "UNKNOWN_CALLER", kDenied},
        {"NulInSubject", Bears(std::string("robot\0", 6)), "IDENTITY_INVALID", kAuth},
        {"LongSubject", Bears(std::string(1025, 'a')), "IDENTITY_INVALID", kAuth},
    }),
    [](const auto& info) { return info.param.name; });

// For the operator's log.
TEST(MissingClaimTest, IsNamed) {
  const CallerIndex index(Rules(), {});
  const auto says = [&](const PeerFacts& peer) { return std::string(index.Recognise(peer, kNow).status().message()); };
  EXPECT_EQ(says(InGroups({"auditors"})),
            "what was shown matches no caller of the policy; the bearer token has no claim 'home', 'project_path', "
            "'ref_protected', 'site'");
  EXPECT_EQ(says(Bears("system:serviceaccount:blue:deploy",
                       {{"groups", ""}, {"home", ""}, {"site", ""}, {"project_path", ""}, {"ref_protected", ""}})),
            "what was shown matches no caller of the policy; the bearer token has no claim 'kubernetes.io/namespace'");
  EXPECT_EQ(says(Shows({"spiffe://test/nobody"})), "what was shown matches no caller of the policy");
  EXPECT_EQ(says(And({}, "x", {}, "https://other")), "what was shown matches no caller of the policy");
}

TEST(CheckCertificateTest, SaysWhetherSomeCallerMayHaveIt) {
  const CallerIndex all(Rules(), {});
  const std::vector<CallerRule> certificates(Rules().begin() + 4, Rules().begin() + 7);  // No token stands alone.
  const auto reason = [](const CallerIndex& index, const std::string& spiffe, bool bearer_may_follow) {
    return ReasonOf(index.CheckCertificate(*Shows({spiffe}).certificate, bearer_may_follow, kNow));
  };
  EXPECT_EQ(reason(all, "spiffe://test/web", false), "");
  EXPECT_EQ(reason(all, "spiffe://test/nobody", false), "UNKNOWN_CALLER");
  EXPECT_EQ(reason(all, "spiffe://test/both", false), "UNKNOWN_CALLER");
  EXPECT_EQ(reason(all, "spiffe://test/nobody", true), "");  // Beside the token of "robot".
  EXPECT_EQ(reason(all, "spiffe://test/a b", true), "IDENTITY_INVALID");
  const CallerIndex index(certificates, {});
  EXPECT_EQ(reason(index, "spiffe://test/both", true), "");
  EXPECT_EQ(reason(index, "spiffe://test/pair/x", true), "");
  EXPECT_EQ(reason(index, "spiffe://test/pair", true), "UNKNOWN_CALLER");
  EXPECT_EQ(ReasonOf(index.CheckCertificate(*Shows({"spiffe://test/both"}, {}, kNow).certificate, true, kNow)),
            "CERTIFICATE_EXPIRED");
}

TEST(TrustDomainTest, OtherOnesAreNotHeard) {
  const CallerIndex index(Rules(), {"example.org", "test"});
  EXPECT_TRUE(index.Recognise(Shows({"spiffe://test/web"}), kNow).ok());
  for (const char* const id : {"spiffe://test.example.org/web", "spiffe://tes/web", "spiffe://other/web"}) {
    EXPECT_EQ(ReasonOf(index.Recognise(Shows({id}), kNow).status()), "IDENTITY_INVALID") << id;
  }
  EXPECT_TRUE(index.Recognise(Shows({}, {"ci.example"}), kNow).ok());
}

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
