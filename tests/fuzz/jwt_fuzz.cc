// A bearer token: nothing that is not signed is believed, and no refusal repeats the token. The first byte chooses what
// the input is: the whole token, or the header or payload of one that is signed as it says.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/base/error.h"
#include "server/identity/jwt.h"
#include "server/identity/key_set.h"
#include "tests/fuzz/check.h"
#include "tests/support/test_issuer.h"

namespace tokenbroker {
namespace {

using fuzz::Check;

constexpr std::string_view kHeader = R"({"alg":"ES256","kid":"one","typ":"JWT"})";

const TestKey& Key() {
  static const auto* const kKey = new TestKey(TestKey::Ec("one"));
  return *kKey;
}

const KeySet& Keys() {
  static const auto* const kKeys = new KeySet(*KeySet::Parse(KeySetJson({Key().Jwk()})));
  return *kKeys;
}

absl::StatusOr<BearerFacts> Verify(const std::string& token) {
  const absl::StatusOr<Jwt> jwt = Jwt::Parse(token);
  if (!jwt.ok()) return jwt.status();
  const JwtRules rules = {"https://issuer.test", {"broker"}};
  return jwt->Verify(*Keys().Find("one", JwtAlgorithm::kEs256), rules, WallTime(hours(24 * 20'000)));
}

void Judge(const std::string& token, bool was_signed) {
  const absl::StatusOr<BearerFacts> facts = Verify(token);
  if (facts.ok()) {
    Check(was_signed, "only what was signed is believed");
    Check(facts->issuer == "https://issuer.test" && !facts->subject.empty(), "what is believed says who it is");
    return;
  }
  Check(ReasonOf(facts.status()) == "TOKEN_INVALID", "a refusal has its reason");
  Check(facts.status().message().size() < 1024, "a refusal is short");
}

}  // namespace
}  // namespace tokenbroker

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tokenbroker;  // NOLINT(google-build-using-namespace): one function
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 3) {
    case 0:
      Judge(text, false);
      break;
    case 1:
      Judge(SignedToken(text, R"({"iss":"https://issuer.test","aud":"broker","sub":"x","exp":1728003000})", Key(),
                        "ES256"),
            true);
      break;
    default:
      Judge(SignedToken(kHeader, text, Key(), "ES256"), true);
  }
  return 0;
}
