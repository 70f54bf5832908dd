// Tokens that must not pass, one a row.

#include <gtest/gtest.h>
#include <openssl/err.h>

#include "server/base/error.h"
#include "server/base/manual_loop.h"
#include "server/identity/bearer_verifier.h"
#include "server/identity/fake_key_fetcher.h"
#include "tests/support/test_issuer.h"

namespace tokenbroker {
namespace {

constexpr char kName[] = "https://issuer.test";
constexpr char kHeader[] = R"({"typ":"JWT","alg":"RS256","kid":"rsa"})";

const TestKey& RsaKey() {
  static const auto* const kKey = new TestKey(TestKey::Rsa("rsa"));
  return *kKey;
}
const TestKey& EcKey() {
  static const auto* const kKey = new TestKey(TestKey::Ec("ec"));
  return *kKey;
}
// Whoever forges has keys of his own.
const TestKey& TheirKey() {
  static const auto* const kKey = new TestKey(TestKey::Rsa("rsa"));
  return *kKey;
}

const WallTime kNow = FromMicros(1'764'000'000'000'000);
constexpr std::int64_t kSecond = 1'764'000'000;

std::string Payload() { return TestIssuer(kName, RsaKey()).Claims("broker", "me", kNow); }
std::string Good() { return SignedToken(kHeader, Payload(), RsaKey(), "RS256"); }

// The good token with another header, signed anew by the issuer's own key.
std::string WithHeader(const std::string& header) { return SignedToken(header, Payload(), RsaKey(), "RS256"); }
std::string WithMore(const std::string& more) {
  return WithHeader(R"({"typ":"JWT","alg":"RS256","kid":"rsa",)" + more + "}");
}
std::string WithKeyId(const std::string& id) { return WithHeader(R"({"alg":"RS256","kid":)" + id + "}"); }

// The good token with `from` of its payload replaced, signed anew by the issuer's own key.
std::string WithClaim(const std::string& from, const std::string& to) {
  std::string payload = Payload();
  const std::size_t at = payload.find(from);
  if (at == std::string::npos) std::abort();
  return SignedToken(kHeader, payload.replace(at, from.size(), to), RsaKey(), "RS256");
}
std::string WithEnd(const std::string& end) { return WithClaim("\"exp\":" + std::to_string(kSecond + 3600), end); }

std::vector<std::string> Parts() {
  const std::string good = Good();
  const std::size_t first = good.find('.');
  const std::size_t second = good.find('.', first + 1);
  return {good.substr(0, first), good.substr(first + 1, second - first - 1), good.substr(second + 1)};
}

// The next character of the alphabet in the place of the last one: other bits behind the last byte alone.
std::string OtherTrailingBits(std::string part) {
  if (part.size() % 4 == 0) std::abort();
  ++part.back();
  return part;
}

// The good token's signature under another payload.
std::string OtherPayload() {
  std::string payload = Payload();
  payload.replace(payload.find("\"me\""), 4, "\"mf\"");
  return Parts()[0] + "." + EncodeBase64Url(payload) + "." + Parts()[2];
}

std::string OtherSignature() {
  std::string signature = Parts()[2];
  char& each = signature[signature.size() / 2];
  each = each == 'A' ? 'B' : 'A';
  return Parts()[0] + "." + Parts()[1] + "." + signature;
}

struct Row {
  std::string name;
  std::string token;
  std::string fault;
};

class ForgeryTest : public testing::TestWithParam<Row> {
 protected:
  ForgeryTest() {
    source_->answer = KeySetJson({RsaKey().Jwk(), EcKey().Jwk()});
    std::vector<IssuerWithFetcher> issuers;
    issuers.push_back({{kName, {"broker"}}, minutes(10), std::make_unique<FakeKeyFetcher>(source_, loop_)});
    verifier_ = MakeBearerVerifier(std::move(issuers), loop_, random_, metrics_, NullLog());
    loop_.RunUntilIdle();
  }

  const std::shared_ptr<FakeKeySource> source_ = std::make_shared<FakeKeySource>();
  ManualLoop loop_{kNow};
  SystemRandom random_;
  Metrics metrics_;
  std::unique_ptr<BearerVerifier> verifier_;
};

TEST_P(ForgeryTest, IsRefused) {
  const absl::StatusOr<BearerFacts> facts = verifier_->Verify(GetParam().token, kNow);
  ASSERT_FALSE(facts.ok());
  EXPECT_EQ(facts.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(facts.status()), "TOKEN_INVALID");
  EXPECT_EQ(FaultOf(facts.status()), GetParam().fault) << facts.status();
  // The log's line shows neither the token nor a part of it that is worth something.
  const std::string message(facts.status().message());
  EXPECT_LT(message.size(), 200U);
  for (const std::string& part : Parts()) EXPECT_EQ(message.find(part.substr(0, 20)), std::string::npos);
  EXPECT_EQ(ERR_peek_error(), 0U);  // gRPC's TLS would take it for its own.
  // Beside it the good one passes.
  EXPECT_TRUE(verifier_->Verify(Good(), kNow).ok());
}

INSTANTIATE_TEST_SUITE_P(
    Tokens, ForgeryTest,
    testing::ValuesIn<Row>({
        // Algorithms.
        {"AlgNone", Compact(R"({"alg":"none","kid":"rsa"})", Payload(), ""), "ALGORITHM_REFUSED"},
        {"AlgNoneInCapitals", Compact(R"({"alg":"NONE","kid":"rsa"})", Payload(), ""), "ALGORITHM_REFUSED"},
        {"AlgNoneWithSignature", Compact(R"({"alg":"none","kid":"rsa"})", Payload(), "x"), "ALGORITHM_REFUSED"},
        {"AlgMissing", WithHeader(R"({"kid":"rsa"})"), "ALGORITHM_REFUSED"},
        {"AlgIsNoText", WithHeader(R"({"alg":["RS256"],"kid":"rsa"})"), "ALGORITHM_REFUSED"},
        {"AlgInLowerCase", WithHeader(R"({"alg":"rs256","kid":"rsa"})"), "ALGORITHM_REFUSED"},
        {"AlgRs512", WithHeader(R"({"alg":"RS512","kid":"rsa"})"), "ALGORITHM_REFUSED"},
        {"AlgEmpty", WithHeader(R"({"alg":"","kid":"rsa"})"), "ALGORITHM_REFUSED"},
        {"Hs256WithThePublicPem", HmacToken(R"({"alg":"HS256","kid":"rsa"})", Payload(), RsaKey().PublicPem()),
         "ALGORITHM_REFUSED"},
        {"Hs256WithTheJwk", HmacToken(R"({"alg":"HS256","kid":"rsa"})", Payload(), RsaKey().Jwk()),
         "ALGORITHM_REFUSED"},
        {"HmacThatCallsItselfRs256", HmacToken(kHeader, Payload(), RsaKey().PublicPem()), "SIGNATURE_WRONG"},
        {"PssThatCallsItselfRs256", SignedToken(kHeader, Payload(), RsaKey(), "PS256"), "SIGNATURE_WRONG"},
        {"Rs256ThatCallsItselfPss", SignedToken(R"({"alg":"PS256","kid":"rsa"})", Payload(), RsaKey(), "RS256"),
         "SIGNATURE_WRONG"},
        // Keys.
        {"Rs256WithTheEcKeysId", WithKeyId(R"("ec")"), "KEY_MISMATCH"},
        {"Es256WithTheRsaKeysId", SignedToken(R"({"alg":"ES256","kid":"rsa"})", Payload(), EcKey(), "ES256"),
         "KEY_MISMATCH"},
        {"AnotherKeyUnderItsId", SignedToken(kHeader, Payload(), TheirKey(), "RS256"), "SIGNATURE_WRONG"},
        {"KeyIdIsAPath", WithKeyId(R"("../../etc/passwd")"), "KEY_UNKNOWN"},
        {"KeyIdIsDevNull", WithKeyId(R"("/dev/null")"), "KEY_UNKNOWN"},
        {"KeyIdIsAUrl", WithKeyId(R"("https://evil.test/keys")"), "KEY_UNKNOWN"},
        {"KeyIdIsSql", WithKeyId(R"("x' UNION SELECT 'key")"), "KEY_UNKNOWN"},
        {"KeyIdInCapitals", WithKeyId(R"("RSA")"), "KEY_UNKNOWN"},
        {"KeyIdMissing", WithHeader(R"({"alg":"RS256"})"), "HEADER_REFUSED"},
        {"KeyIdEmpty", WithKeyId(R"("")"), "HEADER_REFUSED"},
        {"KeyIdIsANumber", WithKeyId("0"), "HEADER_REFUSED"},
        {"KeyIdTooLong", WithKeyId("\"" + std::string(257, 'k') + "\""), "HEADER_REFUSED"},
        {"KeyIdWithNul", WithKeyId(R"("rsa\u0000")"), "MALFORMED"},
        // Headers.
        {"Jku", WithMore(R"("jku":"https://issuer.test/keys")"), "HEADER_REFUSED"},
        {"X5u", WithMore(R"("x5u":"https://issuer.test/chain")"), "HEADER_REFUSED"},
        {"EmbeddedKey",
         SignedToken(R"({"alg":"RS256","kid":"rsa","jwk":)" + TheirKey().Jwk() + "}", Payload(), TheirKey(), "RS256"),
         "HEADER_REFUSED"},
        {"X5c", WithMore(R"("x5c":["MIIB"])"), "HEADER_REFUSED"},
        {"Crit", WithMore(R"("crit":["exp"],"exp":1)"), "HEADER_REFUSED"},
        {"CritEmpty", WithMore(R"("crit":[])"), "HEADER_REFUSED"},
        {"B64", WithMore(R"("b64":false)"), "HEADER_REFUSED"},
        {"JkuIsNull", WithMore(R"("jku":null)"), "HEADER_REFUSED"},
        {"AnotherType", WithHeader(R"({"typ":"secevent+jwt","alg":"RS256","kid":"rsa"})"), "HEADER_REFUSED"},
        {"AlgTwice", WithHeader(R"({"alg":"none","kid":"rsa","alg":"RS256"})"), "MALFORMED"},
        {"HeaderIsAList", WithHeader(R"(["RS256"])"), "MALFORMED"},
        {"HeaderIsDeep", WithMore(R"("x":)" + std::string(17, '[') + std::string(17, ']')), "MALFORMED"},
        // Form.
        {"Empty", "", "MALFORMED"},
        {"TwoDotsMissing", Parts()[0], "MALFORMED"},
        {"OneDotMissing", Parts()[0] + "." + Parts()[1], "MALFORMED"},
        {"OnlyDots", "..", "MALFORMED"},
        {"FourParts", Good() + ".", "MALFORMED"},
        {"Encrypted", Compact(R"({"alg":"RSA-OAEP","enc":"A256GCM","kid":"rsa"})", "key", "iv") + ".Y2lwaGVy.dGFn",
         "MALFORMED"},
        {"JsonSerialization", R"({"payload":")" + Parts()[1] + R"(","signature":")" + Parts()[2] + "\"}", "MALFORMED"},
        {"Bearer", "Bearer " + Good(), "MALFORMED"},
        {"BlankBehind", Good() + " ", "MALFORMED"},
        {"LineBreakInside", Parts()[0] + "\n." + Parts()[1] + "." + Parts()[2], "MALFORMED"},
        {"Padded", Good() + "==", "MALFORMED"},
        {"PaddedHeader", Parts()[0] + "=." + Parts()[1] + "." + Parts()[2], "MALFORMED"},
        {"PlainBase64", Parts()[0] + "." + Parts()[1] + ".a+b/", "MALFORMED"},
        {"TrailingBitsOfTheSignature", Parts()[0] + "." + Parts()[1] + "." + OtherTrailingBits(Parts()[2]),
         "MALFORMED"},
        {"NulInside", Good() + std::string(1, '\0'), "MALFORMED"},
        {"TooLong", Good() + std::string(16384, 'A'), "MALFORMED"},
        {"PayloadIsNoJson", SignedToken(kHeader, "me", RsaKey(), "RS256"), "MALFORMED"},
        {"PayloadIsAList", SignedToken(kHeader, "[" + Payload() + "]", RsaKey(), "RS256"), "MALFORMED"},
        {"PayloadTwice", SignedToken(kHeader, Payload() + Payload(), RsaKey(), "RS256"), "MALFORMED"},
        {"PayloadIsNoUtf8", WithClaim("\"me\"", "\"m\xff\""), "MALFORMED"},
        {"PayloadIsDeep", WithClaim("\"me\"", "\"me\",\"x\":" + std::string(17, '[') + std::string(17, ']')),
         "MALFORMED"},
        // Signatures.
        {"NoSignature", Parts()[0] + "." + Parts()[1] + ".", "SIGNATURE_WRONG"},
        {"SignatureCutShort", Parts()[0] + "." + Parts()[1] + "." + Parts()[2].substr(0, 300), "SIGNATURE_WRONG"},
        {"SignatureWithZerosBefore", Parts()[0] + "." + Parts()[1] + ".AAAA" + Parts()[2], "SIGNATURE_WRONG"},
        {"SignatureOfZeros", Compact(kHeader, Payload(), std::string(256, '\0')), "SIGNATURE_WRONG"},
        {"EcSignatureOfZeros",  // Psychic: r and s are 0.
         Compact(R"({"alg":"ES256","kid":"ec"})", Payload(), std::string(64, '\0')), "SIGNATURE_WRONG"},
        {"BitOfThePayload", OtherPayload(), "SIGNATURE_WRONG"},
        {"BitOfTheSignature", OtherSignature(), "SIGNATURE_WRONG"},
        // Claims.
        {"IssuerMissing", WithClaim(R"("iss":"https://issuer.test",)", ""), "CLAIMS_INVALID"},
        {"IssuerIsAList", WithClaim(R"("iss":"https://issuer.test")", R"("iss":["https://issuer.test"])"),
         "CLAIMS_INVALID"},
        {"IssuerWithSlash", WithClaim(R"(issuer.test")", R"(issuer.test/")"), "ISSUER_UNKNOWN"},
        {"IssuerInCapitals", WithClaim("issuer.test", "ISSUER.test"), "ISSUER_UNKNOWN"},
        {"IssuerWithPort", WithClaim("issuer.test", "issuer.test:443"), "ISSUER_UNKNOWN"},
        {"IssuerTwice", WithClaim(R"("iss":)", R"("iss":"https://evil.test","iss":)"), "MALFORMED"},
        {"Audience", WithClaim(R"("aud":"broker")", R"("aud":"another")"), "AUDIENCE_WRONG"},
        {"AudienceMissing", WithClaim(R"("aud":"broker",)", ""), "CLAIMS_INVALID"},
        {"AudienceAsOneTextOfTwo", WithClaim(R"("aud":"broker")", R"("aud":"broker,another")"), "AUDIENCE_WRONG"},
        {"AudienceTwice", WithClaim(R"("aud":"broker")", R"("aud":"another","aud":"broker")"), "MALFORMED"},
        {"Expired", WithEnd("\"exp\":" + std::to_string(kSecond - 60)), "EXPIRED"},
        {"ExpiredByASecondBeyondTheSkew", WithEnd("\"exp\":" + std::to_string(kSecond - 61)), "EXPIRED"},
        {"EndMissing", WithEnd("\"x\":1"), "CLAIMS_INVALID"},
        {"EndIsAText", WithEnd(R"("exp":"1764003600")"), "CLAIMS_INVALID"},
        {"EndIsNegative", WithEnd(R"("exp":-1)"), "CLAIMS_INVALID"},
        {"EndIsNull", WithEnd(R"("exp":null)"), "CLAIMS_INVALID"},
        {"EndIsZero", WithEnd(R"("exp":0)"), "CLAIMS_INVALID"},
        {"EndIsHuge", WithEnd(R"("exp":9223372036854775807)"), "CLAIMS_INVALID"},
        {"EndIsBeyond64Bits", WithEnd(R"("exp":18446744073709551616)"), "MALFORMED"},
        {"EndIsInMilliseconds", WithEnd(R"("exp":1764003600000)"), "CLAIMS_INVALID"},
        {"EndIsAFraction", WithEnd(R"("exp":1764003600.5)"), "CLAIMS_INVALID"},
        {"EndIsAnExponent", WithEnd(R"("exp":1e300)"), "CLAIMS_INVALID"},
        {"NotYet", WithClaim("\"nbf\":1763999940", "\"nbf\":1764000061"), "NOT_YET_VALID"},
        {"MadeInTheFuture", WithClaim("\"iat\":1763999940", "\"iat\":1764000061"), "NOT_YET_VALID"},
        {"NotBeforeIsAText", WithClaim("\"nbf\":1763999940", R"("nbf":"1763999940")"), "CLAIMS_INVALID"},
        {"NulInTheSubject", WithClaim("\"me\"", R"("me\u0000evil")"), "MALFORMED"},
        {"LineBreakInTheSubject", WithClaim("\"me\"", R"("me\nevil")"), "CLAIMS_INVALID"},
        {"SubjectEmpty", WithClaim("\"me\"", "\"\""), "CLAIMS_INVALID"},
        {"SubjectMissing", WithClaim(R"("sub":"me",)", ""), "CLAIMS_INVALID"},
        {"SubjectIsANumber", WithClaim("\"me\"", "7"), "CLAIMS_INVALID"},
    }),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tokenbroker
