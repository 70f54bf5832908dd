#include "tests/support/test_certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "tests/support/openssl.h"

namespace tokenbroker {
namespace {

using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Memory = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Extension = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Free<GENERAL_NAMES_free>>;

Key MakeKey() {
  Key key(EVP_EC_gen("P-256"));
  Require(key != nullptr, "making a key");
  return key;
}

std::string TextOf(BIO* memory) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(memory, &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string PemOf(X509* certificate) {
  const Memory memory(BIO_new(BIO_s_mem()));
  Require(PEM_write_bio_X509(memory.get(), certificate) == 1, "writing a certificate");
  return TextOf(memory.get());
}

std::string PemOf(EVP_PKEY* key) {
  const Memory memory(BIO_new(BIO_s_mem()));
  Require(PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1, "writing a key");
  return TextOf(memory.get());
}

// A certificate that lacks its issuer, its extensions and its signature.
Certificate Begin(const TestCertificateSpec& spec, long serial, EVP_PKEY* key) {
  Certificate made(X509_new());
  Require(made != nullptr, "X509_new");
  X509_set_version(made.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), static_cast<long>(spec.not_before.count()));
  X509_gmtime_adj(X509_getm_notAfter(made.get()), static_cast<long>(spec.not_after.count()));
  X509_set_pubkey(made.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(spec.common_name.data()),
                             static_cast<int>(spec.common_name.size()), -1, 0);
  return made;
}

void AddExtension(X509* certificate, int nid, const char* value) {
  const Extension extension(X509V3_EXT_conf_nid(nullptr, nullptr, nid, value));
  Require(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1, value);
}

void AddName(GENERAL_NAMES* names, int kind, const std::string& text) {
  ASN1_STRING* value = nullptr;
  if (kind == GEN_IPADD) {
    value = a2i_IPADDRESS(text.c_str());
  } else {
    value = ASN1_IA5STRING_new();
    Require(ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) == 1, "setting a name");
  }
  Require(value != nullptr, text.c_str());
  GENERAL_NAME* name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, kind, value);
  Require(sk_GENERAL_NAME_push(names, name) > 0, "adding a name");
}

// Built by hand, since OpenSSL's textual form gives a meaning to commas and colons inside a name.
void AddAlternativeNames(X509* certificate, const TestCertificateSpec& spec) {
  const Names names(GENERAL_NAMES_new());
  for (const std::string& uri : spec.uris) AddName(names.get(), GEN_URI, uri);
  for (const std::string& dns : spec.dns_names) AddName(names.get(), GEN_DNS, dns);
  for (const std::string& address : spec.addresses) AddName(names.get(), GEN_IPADD, address);
  for (const std::string& email : spec.emails) AddName(names.get(), GEN_EMAIL, email);
  if (sk_GENERAL_NAME_num(names.get()) == 0) return;
  Require(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1,
          "adding the alternative names");
}

void Sign(X509* certificate, EVP_PKEY* key) { Require(X509_sign(certificate, key, EVP_sha256()) > 0, "signing"); }

void FinishLeaf(X509* certificate, const TestCertificateSpec& spec, EVP_PKEY* signer) {
  AddExtension(certificate, NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(certificate, NID_key_usage, "critical,digitalSignature");
  AddExtension(certificate, NID_ext_key_usage, spec.extended_key_usage.c_str());
  AddAlternativeNames(certificate, spec);
  Sign(certificate, signer);
}

}  // namespace

struct TestAuthority::State {
  Key key;
  Certificate certificate;
  std::string pem;
  long next_serial = 2;
};

TestCertificateSpec ServerSpec() {
  TestCertificateSpec spec;
  spec.common_name = "localhost";
  spec.dns_names = {"localhost"};
  spec.addresses = {"127.0.0.1", "::1"};
  return spec;
}

TestCertificateSpec ClientSpec(std::string_view uri) {
  TestCertificateSpec spec;
  spec.common_name = "client";
  spec.uris = {std::string(uri)};
  return spec;
}

TestAuthority::TestAuthority(std::string_view common_name, std::chrono::seconds not_after)
    : state_(std::make_unique<State>()) {
  TestCertificateSpec spec;
  spec.common_name = common_name;
  spec.not_before = std::min(spec.not_before, not_after - std::chrono::hours(1));
  spec.not_after = not_after;
  state_->key = MakeKey();
  state_->certificate = Begin(spec, 1, state_->key.get());
  X509* const made = state_->certificate.get();
  X509_set_issuer_name(made, X509_get_subject_name(made));
  AddExtension(made, NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(made, NID_key_usage, "critical,keyCertSign,cRLSign");
  Sign(made, state_->key.get());
  state_->pem = PemOf(made);
}

TestAuthority::TestAuthority(std::unique_ptr<State> state) : state_(std::move(state)) {}

TestAuthority TestAuthority::Intermediate(std::string_view common_name) {
  TestCertificateSpec spec;
  spec.common_name = common_name;
  auto state = std::make_unique<State>();
  state->key = MakeKey();
  state->certificate = Begin(spec, state_->next_serial++, state->key.get());
  X509* const made = state->certificate.get();
  X509_set_issuer_name(made, X509_get_subject_name(state_->certificate.get()));
  AddExtension(made, NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(made, NID_key_usage, "critical,keyCertSign,cRLSign");
  Sign(made, state_->key.get());
  state->pem = PemOf(made);
  return TestAuthority(std::move(state));
}

std::string TestAuthority::RevocationList(const std::vector<std::string>& certificate_pems) const {
  const std::unique_ptr<X509_CRL, decltype(&X509_CRL_free)> crl(X509_CRL_new(), &X509_CRL_free);
  const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> now(X509_gmtime_adj(nullptr, -60), &ASN1_TIME_free);
  const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> next(X509_gmtime_adj(nullptr, 3600), &ASN1_TIME_free);
  X509_CRL_set_version(crl.get(), 1);
  X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(state_->certificate.get()));
  X509_CRL_set1_lastUpdate(crl.get(), now.get());
  X509_CRL_set1_nextUpdate(crl.get(), next.get());
  for (const std::string& pem : certificate_pems) {
    const Memory memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const Certificate certificate(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
    Require(certificate != nullptr, "reading a certificate");
    X509_REVOKED* const entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certificate.get()));
    X509_REVOKED_set_revocationDate(entry, now.get());
    Require(X509_CRL_add0_revoked(crl.get(), entry) == 1, "adding to a revocation list");
  }
  X509_CRL_sort(crl.get());
  Require(X509_CRL_sign(crl.get(), state_->key.get(), EVP_sha256()) > 0, "signing a revocation list");
  const Memory out(BIO_new(BIO_s_mem()));
  Require(PEM_write_bio_X509_CRL(out.get(), crl.get()) == 1, "writing a revocation list");
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

TestAuthority::TestAuthority(TestAuthority&&) noexcept = default;
TestAuthority& TestAuthority::operator=(TestAuthority&&) noexcept = default;
TestAuthority::~TestAuthority() = default;

const std::string& TestAuthority::certificate_pem() const { return state_->pem; }

TestCertificate TestAuthority::Issue(const TestCertificateSpec& spec) {
  const Key key = MakeKey();
  const Certificate made = Begin(spec, state_->next_serial++, key.get());
  X509_set_issuer_name(made.get(), X509_get_subject_name(state_->certificate.get()));
  FinishLeaf(made.get(), spec, state_->key.get());
  return {PemOf(made.get()), PemOf(key.get())};
}

TestCertificate TestAuthority::SelfSigned(const TestCertificateSpec& spec) {
  const Key key = MakeKey();
  const Certificate made = Begin(spec, 1, key.get());
  X509_set_issuer_name(made.get(), X509_get_subject_name(made.get()));
  FinishLeaf(made.get(), spec, key.get());
  return {PemOf(made.get()), PemOf(key.get())};
}

TestCertificate TestAuthority::SignedBy(const TestCertificate& leaf, const TestCertificateSpec& spec) {
  const Memory certificate(BIO_new_mem_buf(leaf.certificate_pem.data(), static_cast<int>(leaf.certificate_pem.size())));
  const Memory secret(BIO_new_mem_buf(leaf.key_pem.data(), static_cast<int>(leaf.key_pem.size())));
  const Certificate signer(PEM_read_bio_X509(certificate.get(), nullptr, nullptr, nullptr));
  const Key signer_key(PEM_read_bio_PrivateKey(secret.get(), nullptr, nullptr, nullptr));
  Require(signer != nullptr && signer_key != nullptr, "reading a leaf");
  const Key key = MakeKey();
  const Certificate made = Begin(spec, 1, key.get());
  X509_set_issuer_name(made.get(), X509_get_subject_name(signer.get()));
  FinishLeaf(made.get(), spec, signer_key.get());
  return {PemOf(made.get()), PemOf(key.get())};
}

void WriteFileOrDie(const std::string& path, std::string_view text) {
  const std::string half = path + ".new";
  {
    std::ofstream file(half, std::ios::binary | std::ios::trunc);
    file << text;
    file.close();
    Require(file.good(), half.c_str());
  }
  std::error_code error;
  std::filesystem::rename(half, path, error);
  Require(!error, path.c_str());
}

}  // namespace tokenbroker
