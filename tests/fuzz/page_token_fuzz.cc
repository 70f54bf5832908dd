// A page token of somebody else's making never opens; one of ours opens in its own context alone.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/base/random.h"
#include "server/broker/page_token.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tokenbroker;  // NOLINT(google-build-using-namespace): one function
  static auto* const random = new SystemRandom;
  static auto* const tokens = new PageTokens(*random);
  const std::string text(reinterpret_cast<const char*>(data), size);
  fuzz::Check(!tokens->Open(text, "context").has_value(), "what was not sealed does not open");

  // An id is far shorter than the longest token that is looked at.
  const ListPosition place = {WallTime(Duration(static_cast<std::int64_t>(size) * 7919)), text.substr(0, 32)};
  std::string sealed = tokens->Seal(place, text);
  fuzz::Check(tokens->Open(sealed, text) == place, "what was sealed opens");
  fuzz::Check(!tokens->Open(sealed, text + "x").has_value(), "another context does not open it");
  if (size > 0) {
    char& flipped = sealed[data[0] % sealed.size()];
    flipped = flipped == 'A' ? 'B' : 'A';
    fuzz::Check(!tokens->Open(sealed, text).has_value(), "a changed one does not open");
  }
  return 0;
}
