#include "client/credential_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "server/base/error.h"
#include "tests/support/test_certificates.h"

namespace tokenbroker {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Pair;

class CredentialFilesTest : public testing::Test {
 protected:
  CredentialFilesTest() : folder_(testing::TempDir() + "/credentials") {
    std::filesystem::create_directories(folder_);
    paths_ = {folder_ + "/ca.pem", folder_ + "/cert.pem", folder_ + "/key.pem", ""};
    own_ = authority_.Issue(ClientSpec("spiffe://test/demo"));
    WriteFileOrDie(paths_.ca_file, authority_.certificate_pem());
    WriteFileOrDie(paths_.certificate_file, own_.certificate_pem);
    WriteFileOrDie(paths_.key_file, own_.key_pem);
  }
  ~CredentialFilesTest() override { std::filesystem::remove_all(folder_); }

  void ExpectFailure(const std::string& reason, const std::string& option, const std::string& words) {
    const absl::Status status = ReadCredentials(paths_).status();
    EXPECT_EQ(ReasonOf(status), reason);
    EXPECT_THAT(MetaOf(status), Contains(Pair("option", option)));
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }

  std::string folder_;
  TestAuthority authority_;
  CredentialPaths paths_;
  TestCertificate own_;
};

TEST_F(CredentialFilesTest, ReadsWhatIsThere) {
  const absl::StatusOr<Credentials> read = ReadCredentials(paths_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->ca_pem, authority_.certificate_pem());
  EXPECT_EQ(read->certificate_pem, own_.certificate_pem);
  EXPECT_EQ(read->key_pem.Reveal(), own_.key_pem);
  const WallTime now(duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()));
  EXPECT_GT(read->not_after, now + minutes(55));
  EXPECT_LT(read->not_after, now + minutes(65));
  EXPECT_TRUE(read->SameAs(*ReadCredentials(paths_)));
}

TEST_F(CredentialFilesTest, NamesTheFileThatIsMissing) {
  std::filesystem::remove(paths_.key_file);
  ExpectFailure("CLIENT_FILE_UNREADABLE", "key_file", "cannot read the key file " + paths_.key_file + ": No such file");
}

TEST_F(CredentialFilesTest, NamesTheFileThatWasNotNamed) {
  paths_.ca_file.clear();
  ExpectFailure("CLIENT_OPTION_INVALID", "ca_file", "no CA file is named");
}

TEST_F(CredentialFilesTest, TakesNoFolderAndNothingHuge) {
  paths_.ca_file = folder_;
  ExpectFailure("CLIENT_FILE_UNREADABLE", "ca_file", "not a regular file");
  paths_.ca_file = folder_ + "/huge";
  WriteFileOrDie(paths_.ca_file, std::string((1 << 20) + 1, 'x'));
  ExpectFailure("CLIENT_FILE_UNREADABLE", "ca_file", "larger than 1 MiB");
}

TEST_F(CredentialFilesTest, WantsCertificatesAndAKey) {
  WriteFileOrDie(paths_.certificate_file, own_.key_pem);
  ExpectFailure("CLIENT_FILE_INVALID", "certificate_file", "holds no PEM certificate");
  WriteFileOrDie(paths_.certificate_file, own_.certificate_pem);
  WriteFileOrDie(paths_.key_file, "");
  ExpectFailure("CLIENT_FILE_INVALID", "key_file", "holds no PEM key");
}

TEST_F(CredentialFilesTest, ABearerTokenStandsAloneOrBesideThem) {
  paths_.bearer_file = folder_ + "/token";
  WriteFileOrDie(paths_.bearer_file, "a.b.c\n");
  const absl::StatusOr<Credentials> both = ReadCredentials(paths_);
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(both->bearer.Reveal(), "a.b.c");
  EXPECT_FALSE(both->key_pem.empty());
  paths_.certificate_file.clear();
  ExpectFailure("CLIENT_OPTION_INVALID", "certificate_file", "no certificate file is named");  // A key alone.
  paths_.key_file.clear();
  const absl::StatusOr<Credentials> alone = ReadCredentials(paths_);
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_TRUE(alone->key_pem.empty());
  EXPECT_EQ(alone->not_after, WallTime::max());
  WriteFileOrDie(paths_.bearer_file, "a.b.d");
  EXPECT_FALSE(alone->SameAs(*ReadCredentials(paths_)));
  for (const char* bad : {"", "\n", "a b", "a\nb", "a\x01", "\xc3\xa4"}) {
    WriteFileOrDie(paths_.bearer_file, bad);
    ExpectFailure("CLIENT_FILE_INVALID", "bearer_file", "one line of printable characters");
  }
  std::filesystem::remove(paths_.bearer_file);
  ExpectFailure("CLIENT_FILE_UNREADABLE", "bearer_file", "cannot read the bearer token file");
}

TEST_F(CredentialFilesTest, SeesThatAPairIsHalfExchanged) {
  WriteFileOrDie(paths_.key_file, authority_.Issue(ClientSpec("spiffe://test/demo")).key_pem);
  ExpectFailure("CLIENT_FILE_INVALID", "key_file", "does not belong to the certificate in " + paths_.certificate_file);
}

// One whose second certificate is cut, as a file that is just being written: OpenSSL alone would take the first.
TEST_F(CredentialFilesTest, ADamagedBundleIsNotTakenForASmallerOne) {
  const std::string ca = authority_.certificate_pem();
  const std::string other = TestAuthority("Another authority").certificate_pem();
  const std::string cut = "a BEGIN or END line is cut short or missing";
  const std::vector<std::pair<std::string, std::string>> bundles = {
      {ca + "-----BEGIN CERTIF", cut},
      {ca + "-----BEG", cut},
      {ca + other.substr(0, other.size() / 2), cut},
      {ca + other.substr(0, other.size() - 5), cut},
      {ca + other.substr(other.find('\n') + 1), cut},
      {ca + "-----BEGIN CERTIFICATE-----\nnot base64 at all!\n-----END CERTIFICATE-----\n" + other, ""}};
  for (const auto& [bundle, why] : bundles) {
    WriteFileOrDie(paths_.ca_file, bundle);
    ExpectFailure("CLIENT_FILE_INVALID", "ca_file", "or a damaged one (" + why);
    WriteFileOrDie(paths_.ca_file, ca);
    WriteFileOrDie(paths_.certificate_file, own_.certificate_pem + bundle.substr(ca.size()));
    ExpectFailure("CLIENT_FILE_INVALID", "certificate_file", "or a damaged one (" + why);
    WriteFileOrDie(paths_.certificate_file, own_.certificate_pem);
  }
  WriteFileOrDie(paths_.ca_file, "# The old one\n" + ca + "\nThe new one:\n" + other);
  EXPECT_TRUE(ReadCredentials(paths_).ok());
}

TEST_F(CredentialFilesTest, TheOwnCertificateComesFirst) {
  WriteFileOrDie(paths_.certificate_file, authority_.certificate_pem() + own_.certificate_pem);
  ExpectFailure("CLIENT_FILE_INVALID", "certificate_file",
                "must begin with the client's own certificate; it is number 2");
}

}  // namespace
}  // namespace tokenbroker
