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
  const auto has_number = [](const auto& each) { return each.id > 0; };
  const auto all_have = [&](const auto& list) { return std::all_of(list.begin(), list.end(), has_number); };
  if (const auto token = ParseToken(text)) fuzz::Check(has_number(*token), "a token that was read has a number");
  if (const auto tokens = ParseTokens(text)) fuzz::Check(all_have(*tokens), "each token of a list has a number");
  if (const auto project = ParseProject(text)) fuzz::Check(has_number(*project), "a project has a number");
  if (const auto user = ParseUser(text)) fuzz::Check(has_number(*user), "a user has a number");
  if (const auto users = ParseUsers(text)) fuzz::Check(all_have(*users), "each user of a list has a number");
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
