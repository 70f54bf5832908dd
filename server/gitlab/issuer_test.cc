#include "server/gitlab/issuer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "server/base/error.h"
#include "server/base/manual_loop.h"
#include "server/telemetry/metrics_page.h"

namespace tokenbroker {
namespace {

class IssuerTest : public testing::Test {
 protected:
  IssuerTest()
      : path_(testing::TempDir() + "/issuer_" + testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(path_);
  }
  ~IssuerTest() override { std::filesystem::remove_all(path_); }

  // As an operator's tools do: a new file under the old name.
  void Write(const std::string& content) const {
    std::ofstream(path_ + ".new", std::ios::binary) << content;
    std::filesystem::rename(path_ + ".new", path_);
  }

  std::unique_ptr<Issuer> Open() {
    absl::StatusOr<std::unique_ptr<Issuer>> issuer = Issuer::Open(path_, loop_, metrics_, NullLog());
    EXPECT_TRUE(issuer.ok()) << issuer.status();
    return issuer.ok() ? *std::move(issuer) : nullptr;
  }

  // What is taken, or the reason why nothing is.
  static std::string Taken(Issuer& issuer) {
    const absl::StatusOr<Secret> secret = issuer.Take();
    return secret.ok() ? std::string(secret->Reveal()) : ReasonOf(secret.status());
  }

  ManualLoop loop_;
  Metrics metrics_;
  const std::string path_;
};

TEST_F(IssuerTest, WhiteSpaceAroundTheTokenIsTakenOff) {
  for (const char* content :
       {"glpat-one", "glpat-one\n", "glpat-one\r\n", "glpat-one\n\n", " glpat-one ", "\tglpat-one\t\n"}) {
    Write(content);
    const absl::StatusOr<Secret> secret = ReadIssuerFile(path_);
    ASSERT_TRUE(secret.ok()) << secret.status();
    EXPECT_EQ(secret->Reveal(), "glpat-one");
  }
  Write(std::string(4096, 'x') + "\n");
  EXPECT_TRUE(ReadIssuerFile(path_).ok());
}

TEST_F(IssuerTest, AFileThatIsNoTokenIsRefusedInWords) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "is empty"},
      {"\n", "is empty"},
      {" \r\n", "is empty"},
      {"hidden\nhidden\n", "more than one line"},
      {"hidden\rhidden\n", "more than one line"},
      {"hidden\thidden", "a blank"},
      {"hid\x1b"
       "den",
       "control character"},
      {std::string("hid\0den", 7), "control character"},
      {"hidden\xC3\xA9", "not ASCII"},
      {"hidden hidden", "a blank"},
      {std::string(4097, 'x'), "longer than 4096"},
      {std::string(4098, 'x') + "\n", "longer than 4096"},
      {std::string(100'000, 'x'), "longer than 4096"},
  };
  for (const auto& [content, rule] : cases) {
    Write(content);
    const absl::StatusOr<Secret> secret = ReadIssuerFile(path_);
    ASSERT_FALSE(secret.ok()) << rule;
    EXPECT_EQ(secret.status().code(), absl::StatusCode::kInvalidArgument);
    const std::string message(secret.status().message());
    EXPECT_NE(message.find(rule), std::string::npos) << message;
    EXPECT_NE(message.find(path_), std::string::npos) << message;
    EXPECT_EQ(message.find("hidden"), std::string::npos) << message;
    EXPECT_LT(message.size(), path_.size() + 200) << "the content is in it";
  }
}

TEST_F(IssuerTest, AFileThatCannotBeReadIsNotFound) {
  const absl::StatusOr<std::unique_ptr<Issuer>> missing = Issuer::Open(path_, loop_, metrics_, NullLog());
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(missing.status().message()).find(path_), std::string::npos);
  std::filesystem::create_directory(path_);
  EXPECT_FALSE(ReadIssuerFile(path_).ok());
}

TEST_F(IssuerTest, ADeadOneGoesSilentAndIsTriedOnceAMinute) {
  Write("glpat-one");
  const auto issuer = Open();
  EXPECT_EQ(Taken(*issuer), "glpat-one");
  issuer->ProveDead("glpat-one");
  const absl::StatusOr<Secret> silent = issuer->Take();
  EXPECT_EQ(silent.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(silent.status()), "ISSUER_DEAD");
  EXPECT_TRUE(RetryAfterOf(silent.status()).has_value());
  EXPECT_EQ(std::string(silent.status().message()).find("glpat"), std::string::npos);
  loop_.Advance(seconds(60) - Duration(1));
  EXPECT_EQ(Taken(*issuer), "ISSUER_DEAD");
  loop_.Advance(Duration(1));
  EXPECT_EQ(Taken(*issuer), "glpat-one");
  EXPECT_EQ(Taken(*issuer), "ISSUER_DEAD");  // The probe is one request.
  issuer->ProveDead("glpat-one");
  loop_.Advance(seconds(59));
  EXPECT_EQ(Taken(*issuer), "ISSUER_DEAD");
  loop_.Advance(seconds(1));
  EXPECT_EQ(Taken(*issuer), "glpat-one");
  issuer->ProveAlive("glpat-one", loop_.Boot());
  EXPECT_EQ(Taken(*issuer), "glpat-one");
  EXPECT_EQ(Taken(*issuer), "glpat-one");
}

TEST_F(IssuerTest, WhatWasUnderWayDoesNotEndTheSilence) {
  Write("glpat-one");
  const auto issuer = Open();
  const BootTime began = loop_.Boot();
  loop_.Advance(seconds(1));
  issuer->ProveDead("glpat-one");
  issuer->ProveAlive("glpat-one", began);
  issuer->ProveAlive("glpat-one", loop_.Boot());
  EXPECT_EQ(Taken(*issuer), "ISSUER_DEAD");
  Write("glpat-two-new");
  loop_.Advance(seconds(3));
  EXPECT_EQ(Taken(*issuer), "glpat-two-new");
  issuer->ProveDead("glpat-two-new");
  loop_.Advance(seconds(1));
  issuer->ProveAlive("glpat-one", loop_.Boot());
  EXPECT_EQ(Taken(*issuer), "ISSUER_DEAD");
}

TEST_F(IssuerTest, AnotherCredentialIsAnotherGeneration) {
  Write("glpat-one");
  const auto issuer = Open();
  const std::uint64_t first = issuer->generation();
  Write("glpat-one\n");
  loop_.Advance(seconds(3));
  EXPECT_EQ(Taken(*issuer), "glpat-one");
  EXPECT_EQ(issuer->generation(), first);
  Write("glpat-two-new");
  loop_.Advance(seconds(3));
  EXPECT_EQ(Taken(*issuer), "glpat-two-new");
  EXPECT_NE(issuer->generation(), first);
}

TEST_F(IssuerTest, AnExchangedFileIsTakenWithinThreeSeconds) {
  Write("glpat-one");
  const auto issuer = Open();
  EXPECT_EQ(Taken(*issuer), "glpat-one");
  Write("glpat-two-new");
  loop_.Advance(seconds(3));
  EXPECT_EQ(Taken(*issuer), "glpat-two-new");
  EXPECT_EQ(issuer->Reveal(), "glpat-two-new");
}

TEST_F(IssuerTest, AnExchangedFileEndsTheSilence) {
  Write("glpat-one");
  const auto issuer = Open();
  EXPECT_EQ(Taken(*issuer), "glpat-one");
  issuer->ProveDead("glpat-one");
  Write("glpat-two-new");
  loop_.Advance(seconds(3));
  EXPECT_EQ(Taken(*issuer), "glpat-two-new");
  // An answer to a request that still carried the old one says nothing about the new.
  issuer->ProveDead("glpat-one");
  EXPECT_EQ(Taken(*issuer), "glpat-two-new");
}

TEST_F(IssuerTest, TheSameCredentialWrittenAgainStaysSilent) {
  Write("glpat-one");
  const auto issuer = Open();
  issuer->ProveDead("glpat-one");
  Write("glpat-one\n");
  loop_.Advance(seconds(3));
  EXPECT_EQ(Taken(*issuer), "ISSUER_DEAD");
}

TEST_F(IssuerTest, ABadOrMissingFileLeavesTheOldCredential) {
  Write("glpat-one");
  const auto issuer = Open();
  Write("two\nlines");
  loop_.Advance(seconds(3));
  EXPECT_EQ(Taken(*issuer), "glpat-one");
  EXPECT_NE(MetricsPage(metrics_).find("tokenbroker_files_good{files=\"gitlab_credential\"} 0"), std::string::npos);
  std::filesystem::remove(path_);
  loop_.Advance(seconds(3));
  EXPECT_EQ(Taken(*issuer), "glpat-one");
  EXPECT_NE(MetricsPage(metrics_).find("tokenbroker_files_good{files=\"gitlab_credential\"} 0"), std::string::npos);
  Write("glpat-three");
  loop_.Advance(seconds(3));
  EXPECT_EQ(Taken(*issuer), "glpat-three");
  EXPECT_NE(MetricsPage(metrics_).find("tokenbroker_files_good{files=\"gitlab_credential\"} 1"), std::string::npos);
}

}  // namespace
}  // namespace tokenbroker
