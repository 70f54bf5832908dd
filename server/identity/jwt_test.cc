#include "server/identity/jwt.h"

#include <gtest/gtest.h>

#include "server/base/error.h"
#include "tests/support/test_issuer.h"

namespace tokenbroker {
namespace {

const WallTime kNow = FromMicros(1'764'000'000'000'000);
constexpr char kName[] = "https://issuer.test";

TestIssuer& Issuer() {
  static auto* const kIssuer = new TestIssuer(kName, TestKey::Ec("ec"));
  return *kIssuer;
}

const JwtRules& Rules() {
  static const auto* const kRules = new JwtRules{kName, {"broker", "other"}};
  return *kRules;
}

// Read and verified with the issuer's only key; the error's message is the test's result.
absl::StatusOr<BearerFacts> Judge(const std::string& token, WallTime now = kNow, const JwtRules& rules = Rules()) {
  const absl::StatusOr<Jwt> jwt = Jwt::Parse(token);
  if (!jwt.ok()) return jwt.status();
  static const auto* const kKeys = new absl::StatusOr<KeySet>(KeySet::Parse(Issuer().KeySet()));
  return jwt->Verify(*(*kKeys)->Find("ec", JwtAlgorithm::kEs256), rules, now);
}

std::string Says(const absl::StatusOr<BearerFacts>& facts) {
  if (facts.ok()) return "OK";
  EXPECT_TRUE(absl::IsUnauthenticated(facts.status()));
  EXPECT_EQ(ReasonOf(facts.status()), "TOKEN_INVALID");
  return std::string(facts.status().message());
}

std::string Seconds(std::int64_t from_now) { return std::to_string(MicrosOf(kNow) / 1'000'000 + from_now); }

// A token that says nothing but this.
std::string Bare(const std::string& claims) {
  return Issuer().Token(R"({"iss":"https://issuer.test","aud":"broker","sub":"me",)" + claims + "}");
}

TEST(JwtTest, SaysWhoAndWhat) {
  const auto facts = Judge(Issuer().Token(Issuer().Claims(
      "broker", "me", kNow,
      R"("text":"a b","number":-7,"yes":true,"no":false,"half":0.5,"nothing":null,"list":["a"],)"
      R"("in":{"deep":{"er":"x","most":3},"list":[{"a":"b"}],"it/self":"y"},"https://ns.test/role":"r","empty":{})")));
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->issuer, kName);
  EXPECT_EQ(facts->subject, "me");
  const std::map<std::string, std::string> expected = {
      {"aud", "broker"},   {"exp", Seconds(3600)}, {"nbf", Seconds(-60)}, {"iat", Seconds(-60)},
      {"text", "a b"},     {"number", "-7"},       {"yes", "true"},       {"no", "false"},
      {"in/deep/er", "x"}, {"in/deep/most", "3"},  {"in/it/self", "y"},   {"https://ns.test/role", "r"}};
  EXPECT_EQ(facts->claims, expected);
  const std::map<std::string, std::vector<std::string>> lists = {{"list", {"a"}}, {"in/list", {}}};
  EXPECT_EQ(facts->claim_lists, lists);
}

// A pod's projected service-account token, as the API server makes it for one audience.
TEST(JwtTest, KubernetesServiceAccount) {
  const auto facts = Judge(Issuer().Token(
      R"({"aud":["broker"],"exp":)" + Seconds(3607) + R"(,"iat":)" + Seconds(0) +
      R"(,"iss":"https://issuer.test",)"
      R"("jti":"0b9c6cc5-1d57-4b5e-9c3c-0a1f2b3c4d5e","kubernetes.io":{"namespace":"payments","node":{"name":"n1",)"
      R"("uid":"2f3f3a52-5a43-4b8f-8f3d-0c5b8f7e1a11"},"pod":{"name":"web-7d4b9","uid":"5e1b6c0e-3c1a"},)"
      R"("serviceaccount":{"name":"web","uid":"14ee3fa4-a7e2"},"warnafter":)" +
      Seconds(3000) + R"(},"nbf":)" + Seconds(0) + R"(,"sub":"system:serviceaccount:payments:web"})"));
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->subject, "system:serviceaccount:payments:web");
  EXPECT_EQ(facts->claims.at("kubernetes.io/namespace"), "payments");
  EXPECT_EQ(facts->claims.at("kubernetes.io/serviceaccount/name"), "web");
  EXPECT_EQ(facts->claims.at("kubernetes.io/pod/name"), "web-7d4b9");
  EXPECT_FALSE(facts->claims.contains("aud"));  // A list.
}

// An id_token of a GitLab CI job, whose booleans and ids are texts.
TEST(JwtTest, GitLabJob) {
  const auto facts = Judge(Issuer().Token(Issuer().Claims(
      "broker", "project_path:acme/payments/api:ref_type:branch:ref:main", kNow,
      R"("jti":"c82eeb0c-5c6f-4a33-abf5-4c474b92b558","namespace_id":"72","namespace_path":"acme/payments",)"
      R"("project_id":"20","project_path":"acme/payments/api","user_id":"1","user_login":"alice",)"
      R"("user_email":"alice@acme.test","user_access_level":"developer","pipeline_id":"574",)"
      R"("pipeline_source":"push","job_id":"302","ref":"main","ref_type":"branch","ref_path":"refs/heads/main",)"
      R"("ref_protected":"true","groups_direct":["acme"],"environment":"production","runner_id":1,)"
      R"("runner_environment":"self-hosted","sha":"714a629c0b401fdce83e847fc9589983fc6f46bc","project_visibility":)"
      R"("private","job_namespace_path":"acme/payments")")));
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->subject, "project_path:acme/payments/api:ref_type:branch:ref:main");
  EXPECT_EQ(facts->claims.at("namespace_path"), "acme/payments");
  EXPECT_EQ(facts->claims.at("project_path"), "acme/payments/api");
  EXPECT_EQ(facts->claims.at("ref_protected"), "true");
  EXPECT_EQ(facts->claims.at("runner_id"), "1");
  EXPECT_EQ(facts->claim_lists.at("groups_direct"), std::vector<std::string>{"acme"});
}

TEST(JwtTest, ItsEndIsTakenWithTheSkewAndNoMore) {
  const auto ends = [](std::int64_t from_now) { return Bare(R"("exp":)" + Seconds(from_now)); };
  EXPECT_EQ(Says(Judge(ends(1))), "OK");
  EXPECT_EQ(Says(Judge(ends(-59))), "OK");
  EXPECT_EQ(Says(Judge(ends(-60))), "EXPIRED: it ended at 2025-11-24T15:59:00Z");
  EXPECT_EQ(Says(Judge(ends(-60), kNow - Duration(1))), "OK");
  EXPECT_EQ(Says(Judge(ends(1), kNow, {kName, {"broker"}, seconds(0)})), "OK");
  EXPECT_EQ(Says(Judge(ends(0), kNow, {kName, {"broker"}, seconds(0)})), "EXPIRED: it ended at 2025-11-24T16:00:00Z");
  EXPECT_EQ(Says(Judge(ends(-299), kNow, {kName, {"broker"}, seconds(300)})), "OK");
}

TEST(JwtTest, ItsBeginIsTakenWithTheSkewAndNoMore) {
  for (const std::string name : {"nbf", "iat"}) {
    const auto begins = [&](std::int64_t from_now) {
      return Bare(R"("exp":)" + Seconds(900) + R"(,")" + name + R"(":)" + Seconds(from_now));
    };
    EXPECT_EQ(Says(Judge(begins(60))), "OK") << name;
    EXPECT_EQ(Says(Judge(begins(61))), "NOT_YET_VALID: '" + name + "' is 2025-11-24T16:01:01Z");
  }
}

TEST(JwtTest, OneAudienceOfOursIsEnough) {
  const auto of = [](const std::string& audience) {
    return Says(Judge(Issuer().Token(R"({"iss":"https://issuer.test","sub":"me","exp":)" + Seconds(9) + R"(,"aud":)" +
                                     audience + "}")));
  };
  for (const char* good : {R"("broker")", R"("other")", R"(["broker"])", R"(["x","broker"])", R"(["broker","x"])"}) {
    EXPECT_EQ(of(good), "OK") << good;
  }
  EXPECT_EQ(of(R"("Broker")"), "AUDIENCE_WRONG: it is for 'Broker'");
  EXPECT_EQ(of(R"(["x","broker2"])"), "AUDIENCE_WRONG: it is for 'x'");
  EXPECT_EQ(of("[]"), "AUDIENCE_WRONG: it has none");
  EXPECT_EQ(of(R"(["broker",7])"), "CLAIMS_INVALID: 'aud' has something that is no text");
  EXPECT_EQ(of(R"({"broker":1})"), "CLAIMS_INVALID: 'aud' is neither a text nor a list of texts");
}

TEST(JwtTest, TypesOfTokens) {
  const std::string payload = Issuer().Claims("broker", "me", kNow);
  const auto of = [&](const std::string& type) {
    return Says(Judge(SignedToken(R"({"alg":"ES256","kid":"ec")" + type + "}", payload, Issuer().key(), "ES256")));
  };
  for (const char* good : {"", R"(,"typ":"JWT")", R"(,"typ":"jwt")", R"(,"typ":"application/JWT")",
                           R"(,"typ":"at+jwt")", R"(,"x-unknown":[1])", R"(,"x5t":"abc")"}) {
    EXPECT_EQ(of(good), "OK") << good;
  }
  EXPECT_EQ(of(R"(,"typ":"logout+jwt")"), "HEADER_REFUSED: it is another type of token: 'logout+jwt'");
  EXPECT_EQ(of(R"(,"typ":7)"), "HEADER_REFUSED: it is another type of token: ''");
}

TEST(JwtTest, TwoClaimsUnderOnePathAreRefused) {
  const std::string more = R"("a":{"b":"inner"},"a/b":"outer")";
  EXPECT_EQ(Says(Judge(Issuer().Token(Issuer().Claims("broker", "me", kNow, more)))),
            "CLAIMS_INVALID: more than 256 claims, or two under one path");
}

TEST(JwtTest, ElementsOfLists) {
  const auto with = [](const std::string& more) {
    return Judge(Issuer().Token(Issuer().Claims("broker", "me", kNow, more)));
  };
  const auto mixed = with(R"("groups":["a",7,true,null,0.5,["b"],{"c":"d"},"e"])");
  ASSERT_TRUE(mixed.ok()) << mixed.status();
  EXPECT_EQ(mixed->claim_lists.at("groups"), (std::vector<std::string>{"a", "7", "true", "e"}));
  EXPECT_EQ(Says(with(R"("a":{"b":"inner"},"a/b":["outer"])")),
            "CLAIMS_INVALID: more than 256 claims, or two under one path");
  const auto many = [&](int count) {
    std::string list = "1";
    for (int each = 1; each < count; ++each) list += ",1";
    return Says(with("\"groups\":[" + list + "]"));
  };
  EXPECT_EQ(many(1024), "OK");
  EXPECT_EQ(many(1025), "CLAIMS_INVALID: more than 1024 elements in lists");
}

TEST(JwtTest, Bounds) {
  const auto with = [](std::size_t filling) {
    return Issuer().Token(Issuer().Claims("broker", "me", kNow, R"("x":")" + std::string(filling, 'x') + "\""));
  };
  std::size_t most = 11'000;
  while (with(most + 1).size() <= 16384) ++most;
  EXPECT_EQ(Says(Judge(with(most))), "OK");
  EXPECT_EQ(Says(Judge(with(most + 1))), "MALFORMED: it has more than 16 KiB");

  const auto many = [](int count) {
    std::string more = R"("c":1)";
    for (int each = 1; each < count; ++each) more += ",\"c" + std::to_string(each) + "\":1";
    return Issuer().Token(Issuer().Claims("broker", "me", kNow, more));
  };
  EXPECT_EQ(Says(Judge(many(250))), "OK");  // Beside six that every token has.
  EXPECT_EQ(Says(Judge(many(251))), "CLAIMS_INVALID: more than 256 claims, or two under one path");
  EXPECT_EQ(Says(Judge(Issuer().Token(Issuer().Claims("broker", std::string(2048, 's'), kNow)))), "OK");
  EXPECT_NE(Says(Judge(Issuer().Token(Issuer().Claims("broker", std::string(2049, 's'), kNow)))), "OK");
}

TEST(JwtTest, WhatARefusalShowsIsShortAndPrintable) {
  EXPECT_EQ(Shown("a\nb\x1b[31m\xff'"), "'a?b?[31m?''");
  EXPECT_EQ(Shown(std::string(80, 'a')), "'" + std::string(80, 'a') + "'");
  EXPECT_EQ(Shown(std::string(81, 'a')), "'" + std::string(80, 'a') + "...'");
}

// Every token one character shorter, longer or different is refused; none is repeated in the refusal.
TEST(JwtTest, NoOtherSpellingOfATokenPasses) {
  const std::string good = Issuer().Token(Issuer().Claims("broker", "me", kNow));
  ASSERT_EQ(Says(Judge(good)), "OK");
  const std::string signature = good.substr(good.rfind('.') + 1);
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string shorter = good;
    shorter.erase(at, 1);
    std::string other = good;
    other[at] = other[at] == 'A' ? 'B' : 'A';
    for (const std::string& bad : {shorter, other, good.substr(0, at) + "=" + good.substr(at)}) {
      const std::string says = Says(Judge(bad));
      EXPECT_NE(says, "OK") << bad;
      EXPECT_EQ(says.find(signature), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace tokenbroker
