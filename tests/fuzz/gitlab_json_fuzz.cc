// Whatever stands where GitLab's JSON should: read or not, never harmful, and the secret's buffer is wiped.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "server/gitlab/json.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tokenbroker;  // NOLINT(google-build-using-namespace): one function
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)ParseToken(text);
  (void)ParseTokens(text);
  (void)ParseProject(text);
  (void)ParseUser(text);
  (void)ParseUsers(text);
  (void)ParseSettings(text);
  (void)ParseVersion(text);
  (void)ParseError(text);
  std::string body = text;
  const std::optional<Minted> minted = ParseMinted(body);
  if (minted.has_value()) {
    fuzz::Check(minted->token.id > 0, "a token has a number");
    fuzz::Check(body.find(minted->secret.Reveal()) == std::string::npos || minted->secret.Reveal().empty(),
                "the secret does not stay behind");
  }
  return 0;
}
