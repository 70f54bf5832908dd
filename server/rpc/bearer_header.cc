#include "server/rpc/bearer_header.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "server/base/error.h"
#include "server/domain/target.h"

namespace tokenbroker {
namespace {

constexpr std::string_view kScheme = "bearer ";

absl::Status Invalid(std::string_view what) { return Error(absl::StatusCode::kUnauthenticated, "TOKEN_INVALID", what); }

// RFC 6750, 2.1.
bool IsTokenCharacter(char each) {
  return absl::ascii_isalnum(static_cast<unsigned char>(each)) ||
         std::string_view("-._~+/=").find(each) != std::string_view::npos;
}

}  // namespace

absl::StatusOr<std::optional<std::string_view>> BearerTokenIn(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  const auto [first, last] = metadata.equal_range("authorization");
  if (first == last) return std::optional<std::string_view>();
  if (std::next(first) != last) return Invalid("more than one authorization header");
  std::string_view value(first->second.data(), first->second.size());
  if (LowerCase(value.substr(0, kScheme.size())) != kScheme) {
    return Invalid("an authorization header of another scheme than Bearer");
  }
  value.remove_prefix(kScheme.size());
  if (value.empty() || !std::all_of(value.begin(), value.end(), IsTokenCharacter)) {
    return Invalid("an authorization header whose token is empty or has a character that no token has");
  }
  return std::optional<std::string_view>(value);
}

}  // namespace tokenbroker
