#pragma once
// Page tokens: a place in a list, sealed. It may be the place of a token that the caller may not see, so it is
// encrypted; and it fits only the caller and the request that it was made for.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/base/random.h"
#include "server/domain/token_filter.h"

namespace tokenbroker {

class PageTokens {
 public:
  // The key is drawn here and never leaves: what was sealed before a restart opens no more.
  explicit PageTokens(Random& random);

  // `context`: whatever must be the same when it is opened.
  std::string Seal(const ListPosition& place, std::string_view context);
  // Nothing if this is no token of ours, or was sealed in another context.
  std::optional<ListPosition> Open(std::string_view token, std::string_view context) const;

 private:
  Random& random_;
  std::array<std::uint8_t, 32> key_{};
};

}  // namespace tokenbroker
