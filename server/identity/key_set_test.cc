#include "server/identity/key_set.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <atomic>
#include <thread>
#include <tuple>
#include <vector>

#include "server/base/error.h"
#include "tests/support/test_issuer.h"

namespace tokenbroker {
namespace {

const TestKey& RsaKey() {
  static const auto* const kKey = new TestKey(TestKey::Rsa("rsa"));
  return *kKey;
}
const TestKey& EcKey() {
  static const auto* const kKey = new TestKey(TestKey::Ec("ec"));
  return *kKey;
}

std::string With(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

// Another x for the same y.
std::string OtherX(std::string jwk) {
  char& first = jwk.at(jwk.find("\"x\":\"") + 5);
  first = first == 'A' ? 'B' : 'A';
  return jwk;
}

TEST(KeySetTest, FindsByIdAndAlgorithm) {
  const auto set = KeySet::Parse(KeySetJson({RsaKey().Jwk(""), EcKey().Jwk(R"("alg":"ES256","key_ops":["verify"])")}));
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->size(), 2U);
  EXPECT_EQ(set->skipped(), 0U);
  EXPECT_NE(set->Find("rsa", JwtAlgorithm::kRs256), nullptr);
  EXPECT_NE(set->Find("rsa", JwtAlgorithm::kPs256), nullptr);
  EXPECT_EQ(set->Find("rsa", JwtAlgorithm::kEs256), nullptr);
  EXPECT_NE(set->Find("ec", JwtAlgorithm::kEs256), nullptr);
  EXPECT_EQ(set->Find("ec", JwtAlgorithm::kRs256), nullptr);
  EXPECT_EQ(set->Find("RSA", JwtAlgorithm::kRs256), nullptr);
  EXPECT_TRUE(set->Knows("ec"));
  EXPECT_FALSE(set->Knows("../../etc/passwd"));
}

TEST(KeySetTest, AKeyIsForItsOwnAlgorithmAlone) {
  const auto set = KeySet::Parse(KeySetJson({RsaKey().Jwk(R"("alg":"PS256")")}));
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->Find("rsa", JwtAlgorithm::kRs256), nullptr);
  EXPECT_NE(set->Find("rsa", JwtAlgorithm::kPs256), nullptr);
}

TEST(KeySetTest, VerifiesWhatItsKeysSigned) {
  const auto set = KeySet::Parse(KeySetJson({RsaKey().Jwk(), EcKey().Jwk()}));
  ASSERT_TRUE(set.ok()) << set.status();
  for (const auto& [key, name, algorithm] :
       {std::tuple(RsaKey(), "RS256", JwtAlgorithm::kRs256), std::tuple(RsaKey(), "PS256", JwtAlgorithm::kPs256),
        std::tuple(EcKey(), "ES256", JwtAlgorithm::kEs256)}) {
    const std::string header = std::string(R"({"alg":")") + name + R"("})";
    const std::string good = SignedToken(header, "{}", key, name);
    const VerificationKey* const found = set->Find(key.id(), algorithm);
    EXPECT_TRUE(found->Verifies(good)) << name;
    EXPECT_FALSE(found->Verifies(SignedToken(header, "{ }", key, name).substr(0, good.rfind('.')) +
                                 good.substr(good.rfind('.'))))
        << name;
    EXPECT_EQ(ERR_peek_error(), 0U) << name;
  }
}

TEST(KeySetTest, ThreadsShareAKey) {
  const auto set = KeySet::Parse(KeySetJson({RsaKey().Jwk(), EcKey().Jwk()}));
  ASSERT_TRUE(set.ok()) << set.status();
  const std::string rsa = SignedToken(R"({"alg":"PS256"})", "{}", RsaKey(), "PS256");
  const std::string ec = SignedToken(R"({"alg":"ES256"})", "{}", EcKey(), "ES256");
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int each = 0; each < 50; ++each) {
        good += set->Find("rsa", JwtAlgorithm::kPs256)->Verifies(rsa) ? 1 : 0;
        good += set->Find("ec", JwtAlgorithm::kEs256)->Verifies(ec) ? 1 : 0;
      }
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(good, 400);
}

struct Row {
  std::string name;
  std::string jwk;
};

class UnusableKeyTest : public testing::TestWithParam<Row> {};

// Skipped beside a good one, and an error alone.
TEST_P(UnusableKeyTest, IsSkipped) {
  const auto beside = KeySet::Parse(KeySetJson({GetParam().jwk, TestKey::Ec("good").Jwk()}));
  ASSERT_TRUE(beside.ok()) << beside.status();
  EXPECT_EQ(beside->size(), 1U);
  EXPECT_EQ(beside->skipped(), 1U);
  EXPECT_TRUE(beside->Knows("good"));
  const auto alone = KeySet::Parse(KeySetJson({GetParam().jwk}));
  EXPECT_EQ(ReasonOf(alone.status()), "KEYS_UNUSABLE");
  EXPECT_EQ(alone.status().message(), "none of the key set's keys can be used");
  EXPECT_EQ(ERR_peek_error(), 0U);
}

INSTANTIATE_TEST_SUITE_P(
    Keys, UnusableKeyTest,
    testing::ValuesIn<Row>({
        {"NoObject", "7"},
        {"NoId", R"({"kty":"RSA","n":"AQAB","e":"AQAB"})"},
        {"EmptyId", TestKey::Ec("").Jwk()},
        {"LongId", TestKey::Ec(std::string(257, 'k')).Jwk()},
        {"Symmetric", R"({"kid":"k","kty":"oct","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"})"},
        {"UnknownType", R"({"kid":"k","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})"},
        {"ForEncryption", RsaKey().Jwk(R"("use":"enc")")},
        {"UseIsNoText", RsaKey().Jwk(R"("use":["sig"])")},
        {"OnlySigns", RsaKey().Jwk(R"("key_ops":["sign"])")},
        {"ForRs512", RsaKey().Jwk(R"("alg":"RS512")")},
        {"ForHs256", RsaKey().Jwk(R"("alg":"HS256")")},
        {"AlgorithmOfTheOtherType", EcKey().Jwk(R"("alg":"RS256")")},
        {"AlgorithmIsNoText", EcKey().Jwk(R"("alg":256)")},
        {"Private", EcKey().Jwk(R"("d":"AQAB")")},
        {"OtherCurve", TestKey::Ec("p384", "P-384").Jwk()},
        {"OffTheCurve", OtherX(EcKey().Jwk())},
        {"ShortCoordinate", With(EcKey().Jwk(), "\"x\":\"", "\"x\":\"AAAA\",\"was\":\"")},
        {"PointAtNothing", R"({"kid":"k","kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",)"
                           R"("y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})"},
        {"Rsa1024", TestKey::Rsa("short", 1024).Jwk()},
        {"RsaHuge",
         R"({"kid":"k","kty":"RSA","e":"AQAB","n":")" + EncodeBase64Url(std::string(1025, '\xff')) + R"("})"},
        {"RsaEven", R"({"kid":"k","kty":"RSA","e":"AQAB","n":")" + EncodeBase64Url(std::string(256, '\xfe')) + R"("})"},
        {"ExponentOne", With(RsaKey().Jwk(), R"("e":"AQAB")", R"("e":"AQ")")},
        {"ExponentZero", With(RsaKey().Jwk(), R"("e":"AQAB")", R"("e":"AA")")},
        {"ExponentEven", With(RsaKey().Jwk(), R"("e":"AQAB")", R"("e":"Ag")")},
        {"ExponentHuge", With(RsaKey().Jwk(), R"("e":"AQAB")", R"("e":"AQAAAAE")")},
        {"ExponentEmpty", With(RsaKey().Jwk(), R"("e":"AQAB")", R"("e":"")")},
        {"Padded", With(RsaKey().Jwk(), R"("e":"AQAB")", R"("e":"AQAB====")")},
        {"NoModulus", R"({"kid":"k","kty":"RSA","e":"AQAB"})"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(KeySetTest, BadTexts) {
  const std::string good = KeySetJson({EcKey().Jwk()});
  const std::string twice = With(good, R"("keys")", R"("keys":[],"keys")");
  for (const std::string& bad :
       {std::string(), std::string("<html>"), std::string("{}"), std::string(R"({"keys":{}})"), std::string("[]"),
        std::string(R"({"keys":[]})"), good.substr(0, good.size() / 2), good + good, twice}) {
    const auto set = KeySet::Parse(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(set.status())) << bad;
    EXPECT_EQ(ReasonOf(set.status()), "KEYS_UNUSABLE") << bad;
  }
  EXPECT_EQ(KeySet::Parse(R"({"keys":[]})").status().message(), "the key set is empty");
}

TEST(KeySetTest, Bounds) {
  const std::vector<std::string> most(100, EcKey().Jwk());
  ASSERT_TRUE(KeySet::Parse(KeySetJson(most)).ok());
  EXPECT_EQ(KeySet::Parse(KeySetJson(most))->size(), 100U);
  const std::vector<std::string> more(101, EcKey().Jwk());
  EXPECT_EQ(KeySet::Parse(KeySetJson(more)).status().message(), "the key set has more than 100 keys");
  const std::string good = KeySetJson({EcKey().Jwk()});
  EXPECT_TRUE(KeySet::Parse(good + std::string(KeySet::kMostBytes - good.size(), ' ')).ok());
  EXPECT_EQ(KeySet::Parse(good + std::string(KeySet::kMostBytes - good.size() + 1, ' ')).status().message(),
            "the key set has more than 256 KiB");
}

}  // namespace
}  // namespace tokenbroker
