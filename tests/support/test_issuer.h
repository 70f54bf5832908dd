#pragma once
// Testonly: an issuer of JWTs with keys, key sets and tokens, right ones and wrong ones. Signs with OpenSSL directly,
// by none of the code that verifies.
//
//   TestIssuer issuer("https://issuer.test", TestKey::Rsa("one"));
//   const std::string token = issuer.Token(issuer.Claims("broker", "system:serviceaccount:ns:builder", now));
//
// Whatever fails ends the process: a test without its keys has nothing to say.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/clock.h"

namespace tokenbroker {

std::string EncodeBase64Url(std::string_view bytes);

// A key pair. Copies share it.
class TestKey {
 public:
  // 2048 bits take a tenth of a second.
  static TestKey Rsa(std::string id, int bits = 2048);
  static TestKey Ec(std::string id, const char* curve = "P-256");

  const std::string& id() const { return id_; }
  // The algorithm it signs tokens with unless told otherwise: RS256 or ES256.
  const char* algorithm() const { return rsa_ ? "RS256" : "ES256"; }

  // The public half as a JWK. `more` goes in as it is: R"("use":"enc")".
  std::string Jwk(std::string_view more = R"("use":"sig")") const;
  // The public half as PEM, the favourite HMAC secret of forgers.
  std::string PublicPem() const;
  // The signature of a JWS with RS256, PS256 or ES256.
  std::string Sign(std::string_view algorithm, std::string_view text) const;

 private:
  struct State;
  TestKey(std::string id, bool rsa, std::shared_ptr<State> state);

  std::string id_;
  bool rsa_;
  std::shared_ptr<State> state_;
};

// {"keys":[...]} of finished JWKs.
std::string KeySetJson(const std::vector<std::string>& jwks);

// header.payload.signature, each encoded; nothing is checked.
std::string Compact(std::string_view header, std::string_view payload, std::string_view signature);
// A token of these two JSON texts, signed with the key as `algorithm` says, whatever the header says.
std::string SignedToken(std::string_view header, std::string_view payload, const TestKey& key,
                        std::string_view algorithm);
// The same, signed with HMAC-SHA256 and this secret.
std::string HmacToken(std::string_view header, std::string_view payload, std::string_view secret);

class TestIssuer {
 public:
  TestIssuer(std::string name, TestKey key) : name_(std::move(name)), keys_{std::move(key)} {}

  const std::string& name() const { return name_; }
  const TestKey& key() const { return keys_.back(); }
  // The newest key signs from now on. The older ones stay in the key set, unless `alone`.
  void Rotate(TestKey key, bool alone = false);
  std::string KeySet() const;
  // What /.well-known/openid-configuration says.
  std::string Discovery(std::string_view key_set_url) const;

  // A token's payload: good from a minute before `now` for an hour. `more` goes in as it is: R"("ref":"main")".
  std::string Claims(std::string_view audience, std::string_view subject, WallTime now,
                     std::string_view more = "") const;
  // A good token with this payload, by the newest key.
  std::string Token(std::string_view payload) const;

 private:
  std::string name_;
  std::vector<TestKey> keys_;
};

}  // namespace tokenbroker
