#include "tests/support/test_certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace tokenbroker {
namespace {

struct Certificate {
  explicit Certificate(const std::string& pem) {
    BIO* memory = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    x509 = PEM_read_bio_X509(memory, nullptr, nullptr, nullptr);
    BIO_free_all(memory);
  }
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;
  ~Certificate() { X509_free(x509); }

  X509* x509 = nullptr;
};

bool SignedBy(const Certificate& leaf, const Certificate& authority) {
  EVP_PKEY* key = X509_get0_pubkey(authority.x509);
  return X509_verify(leaf.x509, key) == 1 && X509_check_issued(authority.x509, leaf.x509) == X509_V_OK;
}

TEST(TestCertificates, ServerCertificateHoldsForLoopback) {
  TestAuthority authority;
  TestAuthority other("Somebody else");
  const Certificate leaf(authority.Issue(ServerSpec()).certificate_pem);
  ASSERT_NE(leaf.x509, nullptr);
  EXPECT_EQ(X509_check_host(leaf.x509, "localhost", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_ip_asc(leaf.x509, "127.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_host(leaf.x509, "example.com", 0, 0, nullptr), 0);
  EXPECT_TRUE(SignedBy(leaf, Certificate(authority.certificate_pem())));
  EXPECT_FALSE(SignedBy(leaf, Certificate(other.certificate_pem())));
}

TEST(TestCertificates, NamesOfEachKindAreWrittenAsTheyAre) {
  TestAuthority authority;
  TestCertificateSpec spec = ClientSpec("spiffe://test/a,DNS:b");
  spec.dns_names = {"client.test"};
  spec.emails = {"a@client.test"};
  const Certificate leaf(authority.Issue(spec).certificate_pem);
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(leaf.x509, NID_subject_alt_name, nullptr, nullptr));
  ASSERT_NE(names, nullptr);
  std::string all;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    const auto* text = static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(name, nullptr));
    all += std::to_string(name->type) + "=" + reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)) + ";";
  }
  GENERAL_NAMES_free(names);
  EXPECT_EQ(all, "6=spiffe://test/a,DNS:b;2=client.test;1=a@client.test;");
}

TEST(TestCertificates, CanBeOutOfTime) {
  TestAuthority authority;
  TestCertificateSpec spec = ClientSpec("spiffe://test/late");
  spec.not_after = std::chrono::seconds(-1);
  const Certificate late(authority.Issue(spec).certificate_pem);
  EXPECT_LT(X509_cmp_current_time(X509_get0_notAfter(late.x509)), 0);
}

}  // namespace
}  // namespace tokenbroker
