#pragma once
// Testonly: a throw-away certificate authority and what it signs, made in memory with P-256 keys (a millisecond each).
//
//   TestAuthority authority;
//   const TestCertificate server = authority.Issue(ServerSpec());
//   const TestCertificate client = authority.Issue(ClientSpec("spiffe://test/payments"));
//   WriteFileOrDie(folder + "/ca.pem", authority.certificate_pem());
//
// Whatever fails ends the process: a test without its certificates has nothing to say.

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tokenbroker {

// What a certificate shall say.
struct TestCertificateSpec {
  std::string common_name;
  std::vector<std::string> uris;  // Subject alternative names of each kind, written as they are.
  std::vector<std::string> dns_names;
  std::vector<std::string> addresses;  // "127.0.0.1", "::1"
  std::vector<std::string> emails;
  // Both counted from now; negative for the past.
  std::chrono::seconds not_before = std::chrono::hours(-1);
  std::chrono::seconds not_after = std::chrono::hours(1);
  std::string extended_key_usage = "serverAuth,clientAuth";  // As OpenSSL's configuration names them.
};

struct TestCertificate {
  std::string certificate_pem;
  std::string key_pem;
};

// localhost, 127.0.0.1 and ::1.
TestCertificateSpec ServerSpec();
// One URI, as a SPIFFE identity has it.
TestCertificateSpec ClientSpec(std::string_view uri);

// Movable; used on one thread at a time.
class TestAuthority {
 public:
  // `not_after` counts from now, as in a spec; an authority that has ended began before.
  explicit TestAuthority(std::string_view common_name = "Test authority",
                         std::chrono::seconds not_after = std::chrono::hours(24));
  TestAuthority(TestAuthority&&) noexcept;
  TestAuthority& operator=(TestAuthority&&) noexcept;
  ~TestAuthority();

  const std::string& certificate_pem() const;

  // Another authority that this one has signed.
  TestAuthority Intermediate(std::string_view common_name);
  // A revocation list of this authority that names these certificates of its own.
  std::string RevocationList(const std::vector<std::string>& certificate_pems) const;

  // Signs a leaf. Serial numbers count up from 2.
  TestCertificate Issue(const TestCertificateSpec& spec);
  // A leaf that has signed itself.
  static TestCertificate SelfSigned(const TestCertificateSpec& spec);
  // A leaf signed by another leaf, which has no right to.
  static TestCertificate SignedBy(const TestCertificate& leaf, const TestCertificateSpec& spec);

 private:
  struct State;
  explicit TestAuthority(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Writes `text` beside `path` and renames it into place, so that no reader sees half a file.
void WriteFileOrDie(const std::string& path, std::string_view text);

}  // namespace tokenbroker
