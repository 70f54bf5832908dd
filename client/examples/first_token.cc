// A service's first token: mint one for user 42, use it, give it back.
//
//   TOKENBROKER_ADDRESS=localhost:8443 TOKENBROKER_CA=ca.pem TOKENBROKER_CERT=cert.pem TOKENBROKER_KEY=key.pem
//   first_token

#include <cstdlib>
#include <iostream>
#include <string>

#include "client/token_client.h"

using namespace tokenbroker;

std::string Variable(const char* name) { return std::getenv(name) == nullptr ? "" : std::getenv(name); }

int Fail(const absl::Status& status) {
  std::cerr << status.message() << " (" << CallErrorOf(status).reason << ")\n";
  return 1;
}

int main() {
  TokenClientOptions options;
  options.address = Variable("TOKENBROKER_ADDRESS");
  options.ca_file = Variable("TOKENBROKER_CA");
  options.certificate_file = Variable("TOKENBROKER_CERT");
  options.key_file = Variable("TOKENBROKER_KEY");
  auto client = MakeTokenClient(options);
  if (!client.ok()) return Fail(client.status());

  v1::Token spec;
  spec.set_display_name("my first token");
  spec.mutable_target()->set_user("42");
  spec.add_scopes("read_user");
  spec.mutable_ttl()->set_seconds(600);
  auto made = (*client)->Create(spec, {}, DeadlineIn(seconds(30)));
  if (!made.ok()) return Fail(made.status());
  std::cout << made->token.name() << " has a secret of " << made->secret.Reveal().size() << " bytes\n";
  // Here GitLab is called with the header PRIVATE-TOKEN: made->secret.Reveal().

  auto revoked = (*client)->Revoke(made->token.name(), DeadlineIn(seconds(30)));
  if (!revoked.ok()) return Fail(revoked.status());
  std::cout << "and is " << v1::TokenState_Name(revoked->state()) << "\n";
}
