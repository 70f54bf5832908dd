#include "server/identity/bearer_verifier.h"

#include <gtest/gtest.h>

#include "server/base/error.h"
#include "server/base/manual_loop.h"
#include "server/identity/fake_key_fetcher.h"
#include "server/telemetry/metrics_page.h"
#include "tests/support/test_issuer.h"

namespace tokenbroker {
namespace {

constexpr char kName[] = "https://issuer.test";

// Draws the same number again and again: no jitter at 100, a tenth less at 0.
class SteadyRandom final : public Random {
 public:
  void Fill(std::span<std::uint8_t> bytes) override {
    std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
    bytes.back() = 100;
  }
};

class BearerVerifierTest : public testing::Test {
 protected:
  BearerVerifierTest() { source_->answer = issuer_.KeySet(); }

  // Begins to trust the issuer; its first fetch is under way.
  void Open(Duration refresh = minutes(10)) {
    std::vector<IssuerWithFetcher> issuers;
    issuers.push_back({{kName, {"broker"}}, refresh, std::make_unique<FakeKeyFetcher>(source_, loop_)});
    verifier_ = MakeBearerVerifier(std::move(issuers), loop_, random_, metrics_, NullLog());
  }
  void OpenAndFetch(Duration refresh = minutes(10)) {
    Open(refresh);
    loop_.RunUntilIdle();
    source_->fetches = 0;
    source_->rediscoveries = 0;
  }

  // "OK", or the fault.
  std::string Verify(const std::string& token) {
    const absl::StatusOr<BearerFacts> facts = verifier_->Verify(token, loop_.Now());
    loop_.RunUntilIdle();
    return facts.ok() ? "OK" : FaultOf(facts.status());
  }
  std::string VerifyGood() { return Verify(issuer_.Token(issuer_.Claims("broker", "me", loop_.Now()))); }
  std::string VerifyUnknown(const std::string& id) {
    return Verify(
        Compact(R"({"alg":"RS256","kid":")" + id + R"("})", issuer_.Claims("broker", "me", loop_.Now()), "x"));
  }

  bool PageHas(const std::string& line) { return MetricsPage(metrics_).find("\n" + line + "\n") != std::string::npos; }

  TestIssuer issuer_{kName, TestKey::Ec("first")};
  std::shared_ptr<FakeKeySource> source_ = std::make_shared<FakeKeySource>();
  ManualLoop loop_;
  SteadyRandom random_;
  Metrics metrics_;
  std::unique_ptr<BearerVerifier> verifier_;
};

TEST_F(BearerVerifierTest, UntilKeysAreThereTokensAreRefusedWithoutAWait) {
  source_->hold = true;
  Open();
  EXPECT_EQ(VerifyGood(), "KEYS_MISSING");
  source_->Release();
  EXPECT_EQ(VerifyGood(), "OK");
  EXPECT_EQ(source_->fetches, 1);
  EXPECT_EQ(source_->rediscoveries, 1);
}

TEST_F(BearerVerifierTest, ADeadIssuerIsAskedAgainAndFoundWhenItLives) {
  source_->FailWith("no route");
  Open();
  loop_.RunUntilIdle();
  EXPECT_EQ(VerifyGood(), "KEYS_MISSING");
  EXPECT_TRUE(PageHas("tokenbroker_jwt_keys_time_seconds{issuer=\"https://issuer.test\"} 0"));
  source_->answer = issuer_.KeySet();
  loop_.Advance(seconds(29));
  EXPECT_EQ(VerifyGood(), "KEYS_MISSING");
  loop_.Advance(seconds(1));
  EXPECT_EQ(VerifyGood(), "OK");
}

TEST_F(BearerVerifierTest, TheScheduleGoesOnByItself) {
  OpenAndFetch();
  loop_.Advance(minutes(60));
  EXPECT_EQ(source_->fetches, 6);
  EXPECT_EQ(source_->rediscoveries, 6);
  issuer_.Rotate(TestKey::Ec("second"), /*alone=*/true);
  source_->answer = issuer_.KeySet();
  loop_.Advance(minutes(10));
  EXPECT_EQ(VerifyGood(), "OK");
  EXPECT_EQ(source_->fetches, 7);
}

// An id that nobody made up by mischief: the key is younger than the set.
TEST_F(BearerVerifierTest, AnUnknownKeyIsFetchedOnceAndThenTaken) {
  OpenAndFetch();
  loop_.Advance(seconds(40));
  issuer_.Rotate(TestKey::Ec("second"));
  source_->answer = issuer_.KeySet();
  EXPECT_EQ(VerifyGood(), "KEY_UNKNOWN");  // Never waits, but asks.
  EXPECT_EQ(VerifyGood(), "OK");
  EXPECT_EQ(source_->fetches, 1);
  EXPECT_EQ(source_->rediscoveries, 0);
}

TEST_F(BearerVerifierTest, AWishIsKeptUntilItsTimeComes) {
  OpenAndFetch();
  issuer_.Rotate(TestKey::Ec("second"));
  source_->answer = issuer_.KeySet();
  EXPECT_EQ(VerifyGood(), "KEY_UNKNOWN");
  loop_.Advance(seconds(29));
  EXPECT_EQ(source_->fetches, 0);
  EXPECT_EQ(VerifyGood(), "KEY_UNKNOWN");
  loop_.Advance(seconds(1));  // Nobody has to ask again.
  EXPECT_EQ(source_->fetches, 1);
  EXPECT_EQ(VerifyGood(), "OK");
}

// Ten thousand calls with random key ids in a minute, good calls among them, and a rotation in the middle. The
// scheduled refresh falls into every part of that minute in turn.
class FloodTest : public BearerVerifierTest, public testing::WithParamInterface<int> {};

TEST_P(FloodTest, CostsTheIssuerThreeFetchesAndHidesNoRotation) {
  OpenAndFetch(minutes(2));
  loop_.Advance(seconds(GetParam()));
  source_->fetches = 0;
  const std::string good = issuer_.Token(issuer_.Claims("broker", "me", loop_.Now()));
  for (int call = 0; call < 10'000; ++call) {
    if (call == 5'000) {
      issuer_.Rotate(TestKey::Ec("second"));
      source_->answer = issuer_.KeySet();
    }
    EXPECT_EQ(VerifyUnknown("id-" + std::to_string(call * 7919)), "KEY_UNKNOWN");
    if (call % 10 == 0) {
      EXPECT_EQ(Verify(good), "OK");
    }
    loop_.Advance(milliseconds(6));
  }
  EXPECT_LE(source_->fetches, 3);
  EXPECT_GE(source_->fetches, 2);
  EXPECT_EQ(source_->most_in_flight, 1);
  loop_.Advance(seconds(5));
  EXPECT_EQ(VerifyGood(), "OK");
}

INSTANTIATE_TEST_SUITE_P(Phases, FloodTest, testing::Values(0, 30, 61, 75, 89, 91, 119));

TEST_F(BearerVerifierTest, ASlowFetchIsTheOnlyOneAndNobodyWaitsForIt) {
  OpenAndFetch(minutes(2));
  loop_.Advance(seconds(60));
  source_->hold = true;
  EXPECT_EQ(VerifyUnknown("a"), "KEY_UNKNOWN");
  EXPECT_EQ(source_->in_flight, 1);
  loop_.Advance(minutes(3));  // Past the scheduled refresh.
  EXPECT_EQ(VerifyUnknown("b"), "KEY_UNKNOWN");
  EXPECT_EQ(VerifyGood(), "OK");
  EXPECT_EQ(source_->fetches, 1);
  source_->Release();
  loop_.Advance(seconds(5));
  EXPECT_EQ(source_->rediscoveries, 1);  // The refresh that was due.
  EXPECT_EQ(source_->most_in_flight, 1);
}

TEST_F(BearerVerifierTest, BadAnswersChangeNothing) {
  OpenAndFetch();
  const std::string page_time = std::to_string(MicrosOf(loop_.Now()) / 1'000'000);
  int failed = 0;
  int unusable = 0;
  for (const char* bad : {R"({"keys":[]})", "<html>", "", R"({"keys":[{"kty":"oct","kid":"x","k":"AAAA"}]})"}) {
    source_->answer = std::string(bad);
    loop_.Advance(failed + unusable == 0 ? minutes(10) : seconds(30));
    EXPECT_EQ(VerifyGood(), "OK") << bad;
    ++unusable;
  }
  source_->FailWith("no route");
  loop_.Advance(seconds(30));
  EXPECT_EQ(VerifyGood(), "OK");
  ++failed;
  const std::string label = "{issuer=\"https://issuer.test\",outcome=";
  EXPECT_TRUE(PageHas("tokenbroker_jwt_key_fetches_total" + label + "\"unusable\"} " + std::to_string(unusable)));
  EXPECT_TRUE(PageHas("tokenbroker_jwt_key_fetches_total" + label + "\"failed\"} " + std::to_string(failed)));
  EXPECT_TRUE(PageHas("tokenbroker_jwt_key_fetches_total" + label + "\"done\"} 1"));
  EXPECT_TRUE(PageHas("tokenbroker_jwt_keys{issuer=\"https://issuer.test\"} 1"));
  EXPECT_TRUE(PageHas("tokenbroker_jwt_keys_time_seconds{issuer=\"https://issuer.test\"} " + page_time))
      << MetricsPage(metrics_);

  issuer_.Rotate(TestKey::Ec("second"), /*alone=*/true);
  source_->answer = issuer_.KeySet();
  loop_.Advance(seconds(30));
  EXPECT_EQ(VerifyGood(), "OK");
}

TEST_F(BearerVerifierTest, AKeyThatLeftTheSetIsNoLongerTaken) {
  OpenAndFetch();
  const TestIssuer before = issuer_;
  issuer_.Rotate(TestKey::Ec("second"), /*alone=*/true);
  source_->answer = issuer_.KeySet();
  loop_.Advance(minutes(10));
  EXPECT_EQ(Verify(before.Token(before.Claims("broker", "me", loop_.Now()))), "KEY_UNKNOWN");
  EXPECT_EQ(VerifyGood(), "OK");
}

TEST_F(BearerVerifierTest, EachIssuerHasItsKeysAndAudiences) {
  TestIssuer other("https://other.test", TestKey::Rsa("first"));
  const auto other_source = std::make_shared<FakeKeySource>();
  other_source->answer = other.KeySet();
  std::vector<IssuerWithFetcher> issuers;
  issuers.push_back({{kName, {"broker"}}, minutes(10), std::make_unique<FakeKeyFetcher>(source_, loop_)});
  issuers.push_back({{other.name(), {"theirs"}}, minutes(10), std::make_unique<FakeKeyFetcher>(other_source, loop_)});
  verifier_ = MakeBearerVerifier(std::move(issuers), loop_, random_, metrics_, NullLog());
  loop_.RunUntilIdle();
  EXPECT_EQ(VerifyGood(), "OK");
  EXPECT_EQ(Verify(other.Token(other.Claims("theirs", "me", loop_.Now()))), "OK");
  EXPECT_EQ(Verify(other.Token(other.Claims("broker", "me", loop_.Now()))), "AUDIENCE_WRONG");
  // One issuer's key, another's name.
  const TestIssuer posing(kName, other.key());
  EXPECT_EQ(Verify(posing.Token(posing.Claims("broker", "me", loop_.Now()))), "KEY_MISMATCH");
  const TestIssuer stranger("https://stranger.test", TestKey::Ec("first"));
  EXPECT_EQ(Verify(stranger.Token(stranger.Claims("broker", "me", loop_.Now()))), "ISSUER_UNKNOWN");
  EXPECT_TRUE(PageHas("tokenbroker_jwt_refusals_total{reason=\"ISSUER_UNKNOWN\"} 1"));
  EXPECT_TRUE(PageHas("tokenbroker_jwt_refusals_total{reason=\"EXPIRED\"} 0"));
}

TEST_F(BearerVerifierTest, GoesAwayWithAFetchUnderWay) {
  source_->hold = true;
  Open();
  verifier_.reset();
  source_->Release();
  loop_.Advance(hours(1));
  EXPECT_EQ(source_->fetches, 1);
}

}  // namespace
}  // namespace tokenbroker
