// A real issuer over HTTPS: found by discovery, rotated, behind a bearer token, hanging.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "server/base/manual_loop.h"
#include "server/identity/bearer_verifier.h"
#include "tests/support/test_certificates.h"
#include "tests/support/test_issuer.h"
#include "tests/support/test_web_server.h"

namespace tokenbroker {
namespace {

// Keeps the texts of the fields named "error", and wakes the loop with every line: a fetch ends with one.
class ErrorLog final : public Log {
 public:
  explicit ErrorLog(Executor& loop) : loop_(loop) {}

  void Write(LogLevel, std::string_view, Fields fields) override {
    {
      const std::lock_guard lock(mutex_);
      for (const LogField& field : fields) {
        if (field.key == "error") errors_.emplace_back(std::get<std::string_view>(field.value));
      }
    }
    loop_.Post([] {});
  }
  std::vector<std::string> errors() const {
    const std::lock_guard lock(mutex_);
    return errors_;
  }

 private:
  Executor& loop_;
  mutable std::mutex mutex_;
  std::vector<std::string> errors_;
};

class HttpsIssuerTest : public testing::Test {
 protected:
  HttpsIssuerTest() {
    WriteFileOrDie(ca_file_, authority_.certificate_pem());
    server_ = std::make_unique<TestWebServer>(
        &certificate_, [this](const auto& server, const auto& request) { return Answer(server, request); });
    const std::lock_guard lock(mutex_);
    issuer_ = std::make_unique<TestIssuer>(server_->url() + "/realm", TestKey::Rsa("first"));
  }

  void Open(const std::string& bearer_file = "") {
    TrustedIssuer trusted;
    trusted.rules = {issuer_->name(), {"broker"}};
    trusted.discovery = {issuer_->name(), DiscoveryUrl(issuer_->name()), ca_file_, bearer_file};
    verifier_ = OpenBearerVerifier({trusted}, loop_, random_, metrics_, log_);
  }

  // "OK", or the fault.
  std::string Verify(const TestIssuer& issuer) {
    const auto facts = verifier_->Verify(issuer.Token(issuer.Claims("broker", "me", loop_.Now())), loop_.Now());
    return facts.ok() ? "OK" : FaultOf(facts.status());
  }
  TestWebServer::Answer Answer(const TestWebServer& server, const TestWebServer::Request& request) {
    if (hang_) {
      ++hanging_;
      loop_.Post([] {});
      server.WaitForTheEnd();
      return {};
    }
    const std::lock_guard lock(mutex_);
    if (!wanted_.empty() && request.authorization != "Bearer " + wanted_) return {403, "", ""};
    if (request.path == "/realm/.well-known/openid-configuration") {
      return {200, issuer_->Discovery(server.url() + "/realm/keys"), ""};
    }
    if (request.path == "/realm/keys") return {200, issuer_->KeySet(), ""};
    return {404, "", ""};
  }

  TestAuthority authority_;
  const TestCertificate certificate_ = authority_.Issue(ServerSpec());
  const std::string ca_file_ = testing::TempDir() + "/issuer-ca.pem";
  std::mutex mutex_;  // Guards what the server's threads read below.
  std::string wanted_;
  std::unique_ptr<TestIssuer> issuer_;
  std::atomic<bool> hang_ = false;
  std::atomic<int> hanging_ = 0;
  ManualLoop loop_;  // Outlives the server, whose threads wake it.
  std::unique_ptr<TestWebServer> server_;
  SystemRandom random_;
  Metrics metrics_;
  ErrorLog log_{loop_};
  std::unique_ptr<BearerVerifier> verifier_;
};

TEST_F(HttpsIssuerTest, IsFoundByDiscoveryAndMayRotate) {
  Open();
  ASSERT_TRUE(loop_.RunUntil([&] { return Verify(*issuer_) == "OK"; }));
  EXPECT_EQ(server_->requests(), 2);
  const TestIssuer before = *issuer_;
  {
    const std::lock_guard lock(mutex_);
    issuer_->Rotate(TestKey::Rsa("second"));
  }
  EXPECT_EQ(Verify(*issuer_), "KEY_UNKNOWN");
  loop_.Advance(seconds(30));
  ASSERT_TRUE(loop_.RunUntil([&] { return Verify(*issuer_) == "OK"; }));
  EXPECT_EQ(Verify(before), "OK");  // Still in the set.
  EXPECT_EQ(server_->requests(), 3);
  EXPECT_TRUE(log_.errors().empty());
}

TEST_F(HttpsIssuerTest, MayWantABearerToken) {
  const std::string file = testing::TempDir() + "/issuer-bearer";
  wanted_ = "canary-word";
  WriteFileOrDie(file, "canary-old\n");
  Open(file);
  ASSERT_TRUE(loop_.RunUntil([&] { return !log_.errors().empty(); }));
  EXPECT_EQ(log_.errors().front(), issuer_->name() +
                                       "/.well-known/openid-configuration: answered 403; it may want a "
                                       "bearer token, or another one");
  EXPECT_EQ(Verify(*issuer_), "KEYS_MISSING");
  WriteFileOrDie(file, "canary-word\n");
  loop_.Advance(seconds(33));
  EXPECT_TRUE(loop_.RunUntil([&] { return Verify(*issuer_) == "OK"; }));
}

TEST_F(HttpsIssuerTest, WhoseServerHangsHoldsNobodyUp) {
  hang_ = true;
  Open();
  ASSERT_TRUE(loop_.RunUntil([&] { return hanging_ == 1; }));
  EXPECT_EQ(Verify(*issuer_), "KEYS_MISSING");
  const auto began = std::chrono::steady_clock::now();
  verifier_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(8));  // Not its whole limit of 10 s.
}

TEST_F(HttpsIssuerTest, OfAnotherAuthorityIsNotTrusted) {
  TestAuthority other("Another authority");
  WriteFileOrDie(ca_file_, other.certificate_pem());
  Open();
  ASSERT_TRUE(loop_.RunUntil([&] { return !log_.errors().empty(); }));
  EXPECT_NE(log_.errors().front().find("certificate"), std::string::npos);
  EXPECT_EQ(Verify(*issuer_), "KEYS_MISSING");
  EXPECT_EQ(server_->requests(), 0);
  WriteFileOrDie(ca_file_, authority_.certificate_pem());  // Read again without a restart.
  loop_.Advance(seconds(33));
  EXPECT_TRUE(loop_.RunUntil([&] { return Verify(*issuer_) == "OK"; }));
}

TEST_F(HttpsIssuerTest, AFileOfKeysIsReadAgainWhenItChanges) {
  const std::string file = testing::TempDir() + "/keys.json";
  TrustedIssuer trusted;
  trusted.rules = {"any", {"broker"}};
  trusted.key_file = file;
  verifier_ = OpenBearerVerifier({trusted}, loop_, random_, metrics_, log_);
  TestIssuer issuer("any", TestKey::Ec("first"));
  loop_.RunUntilIdle();
  EXPECT_EQ(Verify(issuer), "KEYS_MISSING");
  WriteFileOrDie(file, issuer.KeySet());
  loop_.Advance(seconds(6));
  EXPECT_EQ(Verify(issuer), "OK");
  issuer.Rotate(TestKey::Ec("second"), /*alone=*/true);
  WriteFileOrDie(file, issuer.KeySet().substr(0, 40));  // Half written.
  loop_.Advance(seconds(6));
  EXPECT_EQ(Verify(issuer), "KEY_UNKNOWN");
  WriteFileOrDie(file, issuer.KeySet());
  loop_.Advance(seconds(6));
  EXPECT_EQ(Verify(issuer), "OK");
  const std::vector<std::string> errors = {
      file + ": cannot be read: No such file or directory",
      file + ": it is no key set: not one JSON object with a list 'keys'"};  // Each once, though it was met again and
                                                                             // again.
  EXPECT_EQ(log_.errors(), errors);
}

}  // namespace
}  // namespace tokenbroker
